-- Flows report with a signature of their own secret, through the inbox.
ALTER TABLE inbox DROP CONSTRAINT inbox_source_check;
ALTER TABLE inbox ADD CONSTRAINT inbox_source_check CHECK (source IN ('waha', 'n8n', 'meta', 'flow'));

ALTER TABLE account_flow ADD COLUMN callback_secret bytea;
ALTER TABLE account_flow ADD COLUMN callback_made_at timestamptz;
COMMENT ON COLUMN account_flow.callback_secret IS 'sealed; what the flow signs its reports with';
