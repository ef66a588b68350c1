-- The hot tables: what leaves, what was tried, what came back.
--
-- They carry no foreign keys (they would halve what can be sent a second): only release, delivery
-- and intake write them, set-based from company-checked rows.

-- What messages that belong to no mailing say.
CREATE TABLE outgoing_content (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  text text NOT NULL,
  user_id bigint REFERENCES users,
  -- what makes it happen once: the form's key, the incoming message answered ...
  cause text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  UNIQUE (company_id, id),
  CONSTRAINT outgoing_content_cause_unique UNIQUE (company_id, cause)
);

-- One message to one contact, with its fate.
CREATE TABLE outgoing (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL,
  account_id bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('mailing', 'reply', 'welcome', 'confirmation', 'test', 'single')),
  mailing_id bigint,
  version_id bigint,
  log_id bigint,
  content_id bigint,
  contact_id bigint,
  list_id bigint,
  -- E.164 digits; a skipped row keeps its number in skipped_number
  number text,
  skipped_number text,
  -- the values of the placeholders its version uses
  field_values jsonb NOT NULL DEFAULT '{}',
  state text NOT NULL CHECK (state IN ('queued', 'claimed', 'sending', 'accepted', 'sent', 'delivered', 'read',
    'failed', 'uncertain', 'skipped', 'canceled', 'expired')),
  -- failure code or skip reason, from the closed sets
  code text,
  -- what the gateway said
  reason text,
  -- rises with every change of hands: an old holder changes nothing
  fence integer NOT NULL DEFAULT 0,
  owner uuid,
  lease_until timestamptz,
  not_before timestamptz,
  not_after timestamptz,
  attempts smallint NOT NULL DEFAULT 0,
  provider_id text,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  begun_at timestamptz,
  accepted_at timestamptz,
  sent_at timestamptz,
  delivered_at timestamptz,
  read_at timestamptz,
  failed_at timestamptz,
  replied_at timestamptz,
  CONSTRAINT outgoing_contact_once UNIQUE (mailing_id, contact_id),
  CONSTRAINT outgoing_number_once UNIQUE (mailing_id, number),
  CHECK ((state IN ('claimed', 'sending')) = (owner IS NOT NULL)),
  CHECK ((owner IS NOT NULL) = (lease_until IS NOT NULL)),
  CHECK ((kind = 'mailing') = (mailing_id IS NOT NULL)),
  CHECK ((kind = 'mailing') = (content_id IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX outgoing_queue ON outgoing (mailing_id, id) WHERE state = 'queued';
CREATE INDEX outgoing_queue_urgent ON outgoing (account_id, id) WHERE state = 'queued' AND kind <> 'mailing';
CREATE INDEX outgoing_held ON outgoing (lease_until) WHERE state IN ('claimed', 'sending');
CREATE INDEX outgoing_open ON outgoing (mailing_id) WHERE state IN ('queued', 'claimed', 'sending');
CREATE INDEX outgoing_contact ON outgoing (contact_id, id);
CREATE INDEX outgoing_order ON outgoing (company_id, id DESC);

-- One try. Committed before the first byte leaves.
CREATE TABLE attempts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL,
  account_id bigint NOT NULL,
  outgoing_id bigint NOT NULL,
  log_id bigint,
  fence integer NOT NULL,
  -- our reference, sent along where the gateway has room for one
  own_ref text,
  provider_id text,
  begun_at timestamptz NOT NULL,
  ended_at timestamptz,
  -- accepted, not_sent, account_stop, mailing_stop, refused, uncertain; null while open
  outcome text CHECK (outcome IN ('accepted', 'not_sent', 'account_stop', 'mailing_stop', 'refused', 'uncertain')),
  code text,
  reason text,
  -- what receipts said: 0 nothing, 1 accepted, 2 sent, 3 failed, 4 delivered, 5 read; only rises
  rank smallint NOT NULL DEFAULT 0 CHECK (rank BETWEEN 0 AND 5),
  CONSTRAINT attempts_fence_once UNIQUE (outgoing_id, fence)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX attempts_own_ref ON attempts (account_id, own_ref) WHERE own_ref IS NOT NULL;
CREATE INDEX attempts_provider_id ON attempts (account_id, provider_id) WHERE provider_id IS NOT NULL;

-- The bucket of an account's pace, shared by all instances.
CREATE TABLE account_pace (
  account_id bigint PRIMARY KEY,
  company_id bigint NOT NULL,
  tokens double precision NOT NULL,
  tokens_at timestamptz NOT NULL,
  -- a gateway's rate error
  blocked_until timestamptz,
  blocked_reason text
);

-- Receipts that came before the message they speak of was known.
CREATE TABLE parked_receipts (
  company_id bigint NOT NULL,
  account_id bigint NOT NULL,
  reference text NOT NULL,
  rank smallint NOT NULL,
  at timestamptz NOT NULL,
  received_at timestamptz NOT NULL DEFAULT wablast_now(),
  PRIMARY KEY (account_id, reference, rank)
);

-- The webhook inbox: stored before it is answered, applied afterwards.
CREATE TABLE inbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- the company that owns the account
  company_id bigint NOT NULL,
  account_id bigint NOT NULL,
  source text NOT NULL CHECK (source IN ('waha')),
  -- the event's own identity: the same one is stored once
  dedupe text NOT NULL,
  event text NOT NULL DEFAULT '',
  headers jsonb NOT NULL DEFAULT '{}',
  body bytea NOT NULL,
  received_at timestamptz NOT NULL DEFAULT wablast_now(),
  state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'applied', 'set_aside')),
  tries smallint NOT NULL DEFAULT 0,
  next_try timestamptz,
  applied_at timestamptz,
  error text,
  CONSTRAINT inbox_once UNIQUE (account_id, dedupe)
);
CREATE INDEX inbox_new ON inbox (id) WHERE state = 'new';
CREATE INDEX inbox_order ON inbox (company_id, id DESC);

CREATE TABLE incoming (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL,
  account_id bigint NOT NULL,
  contact_id bigint,
  -- the message's own id at the gateway
  provider_id text NOT NULL,
  -- digits, or another identity such as 123@lid
  sender text NOT NULL,
  sender_name text NOT NULL DEFAULT '',
  receiver text,
  message text NOT NULL DEFAULT '',
  mime text,
  quoted_provider_id text,
  -- the mailing message it answers
  outgoing_id bigint,
  mailing_id bigint,
  sent_at timestamptz,
  received_at timestamptz NOT NULL DEFAULT wablast_now(),
  read_at timestamptz,
  -- it said stop, and what became of that
  opted_out boolean NOT NULL DEFAULT false,
  opt_out_undone_at timestamptz,
  opt_out_undone_reason text,
  inbox_id bigint,
  CONSTRAINT incoming_once UNIQUE (account_id, provider_id)
);
CREATE INDEX incoming_order ON incoming (company_id, id DESC);
CREATE INDEX incoming_contact ON incoming (contact_id, id);
CREATE INDEX incoming_unread ON incoming (company_id) WHERE read_at IS NULL;

SELECT wablast_protect(t) FROM unnest(ARRAY['outgoing_content', 'outgoing', 'attempts', 'account_pace', 'parked_receipts',
  'inbox', 'incoming']::regclass[]) t;
