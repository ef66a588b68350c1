-- Sending through a webhook (n8n and similar), and the flows that report back.
ALTER TABLE accounts
  ADD COLUMN callback_minutes integer NOT NULL DEFAULT 15 CHECK (callback_minutes BETWEEN 1 AND 1440),
  ADD COLUMN counts_as_sent boolean NOT NULL DEFAULT false,
  ADD COLUMN at_once integer NOT NULL DEFAULT 1 CHECK (at_once BETWEEN 1 AND 5),
  ADD COLUMN health_retry_at timestamptz;
COMMENT ON COLUMN accounts.callback_minutes IS 'how long a flow may take to report what became of a message it took';
COMMENT ON COLUMN accounts.counts_as_sent IS 'this flow does not report: what it takes counts as sent';
COMMENT ON COLUMN accounts.at_once IS 'requests to the webhook at one time';
COMMENT ON COLUMN accounts.health_retry_at IS 'when an account that its webhook stopped is tried again by itself; null: not by itself';

-- One account a number: a WAHA session at one address, a session behind one flow, a phone number id at Meta.
DROP INDEX accounts_number_unique;
CREATE UNIQUE INDEX accounts_number_unique ON accounts
  (provider, (CASE WHEN send_through = 'webhook' THEN webhook_url ELSE api_url END), session, phone_uid) WHERE active;

-- Meant only while the state is uncertain and the code handed_over: then it becomes uncertain for good.
ALTER TABLE outgoing ADD COLUMN settles_at timestamptz;
CREATE INDEX outgoing_handed_over ON outgoing (mailing_id, settles_at) WHERE state = 'uncertain' AND code = 'handed_over';
-- What was reported about a try that failed after the other side had taken it.
ALTER TABLE attempts ADD COLUMN failure text;

-- What a company's flows show when they call back; the token itself is shown once and not kept.
CREATE TABLE callback_tokens (
  company_id bigint PRIMARY KEY REFERENCES companies,
  -- sha256 of the token
  token_hash bytea NOT NULL,
  made_by bigint NOT NULL REFERENCES users,
  made_at timestamptz NOT NULL DEFAULT wablast_now(),
  last_used_at timestamptz,
  CONSTRAINT callback_tokens_hash_unique UNIQUE (token_hash)
);
SELECT wablast_protect('callback_tokens'::regclass);

ALTER TABLE inbox DROP CONSTRAINT inbox_source_check;
ALTER TABLE inbox ADD CONSTRAINT inbox_source_check CHECK (source IN ('waha', 'n8n'));
