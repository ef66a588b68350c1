-- Files that people sent, and reactions to what we sent.

CREATE TABLE incoming_files (
  incoming_id bigint PRIMARY KEY,
  company_id bigint NOT NULL,
  account_id bigint NOT NULL,
  -- the gateway's id of the file, valid for some days
  provider_id text NOT NULL,
  -- as the gateway announced it, to compare with what came
  sha256 text NOT NULL DEFAULT '',
  file_name text NOT NULL DEFAULT '',
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'kept', 'missing', 'too_large')),
  tries smallint NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL DEFAULT wablast_now(),
  -- of what was kept: by its bytes
  mime text NOT NULL DEFAULT '',
  size bigint NOT NULL DEFAULT 0,
  storage_key text,
  reason text,
  CHECK ((state = 'kept') = (storage_key IS NOT NULL))
);
COMMENT ON TABLE incoming_files IS 'files of incoming messages: fetched from the gateway within minutes, while it still has them';
CREATE INDEX incoming_files_waiting ON incoming_files (next_at) WHERE state = 'waiting';
SELECT wablast_protect('incoming_files');

ALTER TABLE incoming ADD COLUMN reaction boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN incoming.reaction IS 'an emoji put on the quoted message; empty text: it was taken back';
CREATE INDEX incoming_reactions ON incoming (outgoing_id) WHERE reaction;

-- What Meta's refusals say of people, until it is followed.
CREATE TABLE told_signs (
  outgoing_id bigint PRIMARY KEY,
  company_id bigint NOT NULL,
  code text NOT NULL CHECK (code IN ('unsubscribed', 'not_on_whatsapp'))
);
COMMENT ON TABLE told_signs IS 'messages refused because of who they go to: noted with the outcome, followed within seconds';
SELECT wablast_protect('told_signs');
