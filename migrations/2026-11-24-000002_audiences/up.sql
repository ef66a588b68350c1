-- Accounts, contacts, lists, mailings: what people write.

CREATE TABLE accounts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- the owning company; which others may use it stands in account_companies
  company_id bigint NOT NULL REFERENCES companies,
  name text NOT NULL CHECK (name <> ''),
  provider text NOT NULL CHECK (provider IN ('waha', 'meta')),
  send_through text NOT NULL CHECK (send_through IN ('api', 'webhook')),
  delivery text NOT NULL CHECK (delivery IN ('direct', 'batched')),
  active boolean NOT NULL DEFAULT true,
  -- Meta's fields
  app_uid text NOT NULL DEFAULT '',
  app_secret bytea,
  account_uid text NOT NULL DEFAULT '',
  phone_uid text NOT NULL DEFAULT '',
  token bytea,
  base_url text NOT NULL DEFAULT '',
  webhook_verify_token text NOT NULL,
  -- known after a test or a session event
  phone_number text,
  -- Infinys Gateway
  api_url text NOT NULL DEFAULT '',
  webhook_url text NOT NULL DEFAULT '',
  auth_user text NOT NULL DEFAULT '',
  auth_password bytea,
  api_key bytea,
  -- Phone Number ID (WAHA)
  session text NOT NULL DEFAULT '',
  behind_proxy boolean NOT NULL DEFAULT false,
  welcome_message text NOT NULL DEFAULT '',
  -- names the account in the address of its webhooks; not guessable
  account_key text NOT NULL,
  -- the gateway signs with it what it posts to us
  webhook_secret bytea,
  per_second double precision NOT NULL CHECK (per_second > 0 AND per_second <= 100000),
  burst integer NOT NULL CHECK (burst BETWEEN 1 AND 100000),
  health text NOT NULL DEFAULT 'running' CHECK (health IN ('running', 'paused', 'stopped')),
  health_reason text,
  health_code text,
  health_since timestamptz NOT NULL DEFAULT wablast_now(),
  -- the last test of the credentials; untested again whenever a secret changes
  tested_at timestamptz,
  tested_ok boolean,
  test_checks jsonb,
  untested_since timestamptz DEFAULT wablast_now(),
  last_event_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  updated_at timestamptz NOT NULL DEFAULT wablast_now(),
  UNIQUE (company_id, id),
  CONSTRAINT accounts_key_unique UNIQUE (account_key)
);
-- One account a number: a WAHA session at one address, a phone number id at Meta.
CREATE UNIQUE INDEX accounts_number_unique ON accounts (provider, api_url, session, phone_uid) WHERE active;

CREATE TABLE account_companies (
  company_id bigint NOT NULL REFERENCES companies,
  account_id bigint NOT NULL REFERENCES accounts,
  active boolean NOT NULL DEFAULT true,
  PRIMARY KEY (company_id, account_id)
);

-- None: every user of the company may use the account.
CREATE TABLE account_users (
  company_id bigint NOT NULL,
  account_id bigint NOT NULL,
  user_id bigint NOT NULL REFERENCES users,
  PRIMARY KEY (account_id, company_id, user_id),
  FOREIGN KEY (company_id, account_id) REFERENCES account_companies
);

CREATE TABLE contacts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  name text NOT NULL DEFAULT '',
  title text NOT NULL DEFAULT '',
  -- E.164 digits without +; null for people known only by another identity
  whatsapp_number text CHECK (whatsapp_number ~ '^[1-9][0-9]{5,14}$'),
  country text CHECK (country ~ '^[A-Z]{2}$'),
  email text NOT NULL DEFAULT '',
  company_name text NOT NULL DEFAULT '',
  job_position text NOT NULL DEFAULT '',
  description text NOT NULL DEFAULT '',
  attributes jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
  opt_out boolean NOT NULL DEFAULT false,
  opt_out_reason text,
  opt_out_at timestamptz,
  active boolean NOT NULL DEFAULT true,
  -- entered by a person, not made from an incoming message
  is_manual boolean NOT NULL DEFAULT true,
  is_new boolean NOT NULL DEFAULT true,
  erased_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  updated_at timestamptz NOT NULL DEFAULT wablast_now(),
  UNIQUE (company_id, id),
  CONSTRAINT contacts_number_unique UNIQUE (company_id, whatsapp_number),
  CHECK (NOT opt_out OR opt_out_at IS NOT NULL)
);
CREATE INDEX contacts_order ON contacts (company_id, name, id);

-- Other names of one person: wa_id, @lid, business-scoped id.
CREATE TABLE contact_identities (
  company_id bigint NOT NULL,
  contact_id bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('wa_id', 'lid', 'bsuid')),
  value text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  PRIMARY KEY (company_id, kind, value),
  FOREIGN KEY (company_id, contact_id) REFERENCES contacts (company_id, id)
);
CREATE INDEX contact_identities_contact ON contact_identities (contact_id);

CREATE TABLE tags (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  name text NOT NULL CHECK (name <> ''),
  UNIQUE (company_id, id),
  CONSTRAINT tags_name_unique UNIQUE (company_id, name)
);

CREATE TABLE contact_tags (
  company_id bigint NOT NULL,
  contact_id bigint NOT NULL,
  tag_id bigint NOT NULL,
  PRIMARY KEY (contact_id, tag_id),
  FOREIGN KEY (company_id, contact_id) REFERENCES contacts (company_id, id),
  FOREIGN KEY (company_id, tag_id) REFERENCES tags (company_id, id)
);
CREATE INDEX contact_tags_tag ON contact_tags (tag_id);

-- Numbers never to write to, with or without a contact.
CREATE TABLE blacklist (
  company_id bigint NOT NULL REFERENCES companies,
  number text NOT NULL,
  reason text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  PRIMARY KEY (company_id, number)
);

CREATE TABLE lists (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  name text NOT NULL CHECK (name <> ''),
  description text NOT NULL DEFAULT '',
  active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  updated_at timestamptz NOT NULL DEFAULT wablast_now(),
  UNIQUE (company_id, id),
  CONSTRAINT lists_name_unique UNIQUE (company_id, name)
);

CREATE TABLE list_members (
  company_id bigint NOT NULL,
  list_id bigint NOT NULL,
  contact_id bigint NOT NULL,
  opt_out boolean NOT NULL DEFAULT false,
  opt_out_reason text,
  opt_out_at timestamptz,
  added_at timestamptz NOT NULL DEFAULT wablast_now(),
  PRIMARY KEY (list_id, contact_id),
  FOREIGN KEY (company_id, list_id) REFERENCES lists (company_id, id),
  FOREIGN KEY (company_id, contact_id) REFERENCES contacts (company_id, id)
);
CREATE INDEX list_members_contact ON list_members (contact_id);

CREATE TABLE imports (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  user_id bigint NOT NULL REFERENCES users,
  file_name text NOT NULL,
  -- country, mode, mapping, list_ids, header
  options jsonb NOT NULL,
  state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'queued', 'running', 'done', 'failed', 'canceled')),
  content bytea,
  rows bigint NOT NULL DEFAULT 0,
  created bigint NOT NULL DEFAULT 0,
  updated bigint NOT NULL DEFAULT 0,
  skipped bigint NOT NULL DEFAULT 0,
  rejected bigint NOT NULL DEFAULT 0,
  rejected_file text,
  message text,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  finished_at timestamptz,
  UNIQUE (company_id, id)
);

-- The text of a mailing as it was when it was released. Never changed.
CREATE TABLE mailing_versions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL,
  mailing_id bigint NOT NULL,
  subject text NOT NULL,
  header text NOT NULL,
  message text NOT NULL,
  footer text NOT NULL,
  -- the placeholders it uses
  fields text[] NOT NULL,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  UNIQUE (company_id, id)
);
CREATE FUNCTION wablast_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME;
END $$;
CREATE TRIGGER mailing_versions_immutable BEFORE UPDATE ON mailing_versions
  FOR EACH ROW EXECUTE FUNCTION wablast_refuse_change();

CREATE TABLE mailings (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  subject text NOT NULL CHECK (subject <> ''),
  account_id bigint NOT NULL,
  responsible_id bigint NOT NULL REFERENCES users,
  recipients text NOT NULL CHECK (recipients IN ('lists', 'contacts')),
  header_type text NOT NULL DEFAULT 'none' CHECK (header_type IN ('none', 'text')),
  header text NOT NULL DEFAULT '',
  message text NOT NULL DEFAULT '',
  footer text NOT NULL DEFAULT '',
  skip_missing_values boolean NOT NULL DEFAULT false,
  schedule_date timestamptz,
  -- the zone the date was meant in
  time_zone text NOT NULL,
  state text NOT NULL DEFAULT 'draft' CHECK (state IN
    ('draft', 'submitted', 'sending', 'paused', 'done', 'partial_failure', 'failed', 'canceled', 'missed')),
  -- why it is paused, missed or failed, as a sentence
  state_reason text,
  version_id bigint,
  log_id bigint,
  -- how far the release has come in the frozen audience
  released_position bigint NOT NULL DEFAULT 0,
  audience_size bigint,
  release_done boolean NOT NULL DEFAULT false,
  started_at timestamptz,
  finished_at timestamptz,
  active boolean NOT NULL DEFAULT true,
  created_by bigint NOT NULL REFERENCES users,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  updated_at timestamptz NOT NULL DEFAULT wablast_now(),
  UNIQUE (company_id, id),
  FOREIGN KEY (company_id, account_id) REFERENCES account_companies (company_id, account_id),
  FOREIGN KEY (company_id, version_id) REFERENCES mailing_versions (company_id, id),
  CHECK (state <> 'submitted' OR schedule_date IS NOT NULL)
);
CREATE INDEX mailings_due ON mailings (schedule_date) WHERE state = 'submitted';
CREATE INDEX mailings_running ON mailings (account_id) WHERE state IN ('sending', 'paused');
CREATE INDEX mailings_order ON mailings (company_id, id DESC);
ALTER TABLE mailing_versions ADD FOREIGN KEY (company_id, mailing_id) REFERENCES mailings (company_id, id);

CREATE TABLE mailing_lists (
  company_id bigint NOT NULL,
  mailing_id bigint NOT NULL,
  list_id bigint NOT NULL,
  -- its members are left out
  excluded boolean NOT NULL DEFAULT false,
  -- the order in which they were chosen
  position integer NOT NULL DEFAULT 0,
  PRIMARY KEY (mailing_id, list_id),
  FOREIGN KEY (company_id, mailing_id) REFERENCES mailings (company_id, id) ON DELETE CASCADE,
  FOREIGN KEY (company_id, list_id) REFERENCES lists (company_id, id)
);
CREATE INDEX mailing_lists_list ON mailing_lists (list_id);

CREATE TABLE mailing_contacts (
  company_id bigint NOT NULL,
  mailing_id bigint NOT NULL,
  contact_id bigint NOT NULL,
  PRIMARY KEY (mailing_id, contact_id),
  FOREIGN KEY (company_id, mailing_id) REFERENCES mailings (company_id, id) ON DELETE CASCADE,
  FOREIGN KEY (company_id, contact_id) REFERENCES contacts (company_id, id)
);
CREATE INDEX mailing_contacts_contact ON mailing_contacts (contact_id);

-- Who a mailing goes to, frozen when it is released.
CREATE TABLE audience (
  company_id bigint NOT NULL,
  mailing_id bigint NOT NULL,
  position bigint NOT NULL,
  contact_id bigint NOT NULL,
  -- the first chosen list that held the person
  list_id bigint,
  number text,
  -- another contact of this audience has the same number and stands before this one
  duplicate boolean NOT NULL DEFAULT false,
  -- opted out of every chosen list that holds the person
  list_opted_out boolean NOT NULL DEFAULT false,
  PRIMARY KEY (mailing_id, position)
);

-- One run of a mailing.
CREATE TABLE logs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL,
  mailing_id bigint NOT NULL,
  account_id bigint NOT NULL,
  trigger text NOT NULL CHECK (trigger IN ('scheduler', 'send_now', 'retry', 'resend')),
  user_id bigint REFERENCES users,
  -- names of the lists, or how many contacts, as they were then
  recipients text NOT NULL DEFAULT '',
  state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'partial_failure', 'failed', 'canceled')),
  -- what the gateway said last when it refused
  error_message text,
  started_at timestamptz NOT NULL DEFAULT wablast_now(),
  finished_at timestamptz,
  UNIQUE (company_id, id),
  FOREIGN KEY (company_id, mailing_id) REFERENCES mailings (company_id, id),
  FOREIGN KEY (company_id, account_id) REFERENCES account_companies (company_id, account_id)
);
CREATE INDEX logs_mailing ON logs (mailing_id);
CREATE INDEX logs_order ON logs (company_id, id DESC);

-- The owner sees it before the link to itself is made.
SELECT wablast_protect('accounts', 'company_id = current_setting(''app.company'')::bigint OR EXISTS (SELECT FROM account_companies ac WHERE ac.account_id = accounts.id AND ac.company_id = current_setting(''app.company'')::bigint)');
SELECT wablast_protect(t) FROM unnest(ARRAY['account_companies', 'account_users', 'contacts', 'contact_identities', 'tags',
  'contact_tags', 'blacklist', 'lists', 'list_members', 'imports', 'mailing_versions', 'mailings', 'mailing_lists',
  'mailing_contacts', 'audience', 'logs']::regclass[]) t;
