-- Messages that nobody acknowledged are looked up by their id. A message without a row is not looked up.
CREATE TABLE unheard (
  outgoing_id bigint PRIMARY KEY,
  company_id bigint NOT NULL,
  account_id bigint NOT NULL,
  -- the gateway's id of the message, else ours
  reference text NOT NULL,
  tries smallint NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL,
  since timestamptz NOT NULL DEFAULT wablast_now()
);
CREATE INDEX unheard_next ON unheard (account_id, next_at);
SELECT wablast_protect('unheard'::regclass);

-- One row: up to which attempt everything old enough was looked through.
CREATE TABLE unheard_cursor (
  id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  attempt_id bigint NOT NULL
);
INSERT INTO unheard_cursor (attempt_id) SELECT coalesce(max(id), 0) FROM attempts;
SELECT wablast_protect('unheard_cursor'::regclass);

ALTER TABLE account_sessions
  ADD COLUMN asked_at timestamptz,
  ADD COLUMN looked_at timestamptz;
COMMENT ON COLUMN account_sessions.asked_at IS 'when its WAHA was last asked for messages without receipts: the budget of all instances';
COMMENT ON COLUMN account_sessions.looked_at IS 'when the session of a stopped account was last looked at';
