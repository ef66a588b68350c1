ALTER TABLE account_flow DROP COLUMN callback_made_at;
ALTER TABLE account_flow DROP COLUMN callback_secret;

DELETE FROM inbox WHERE source = 'flow';
ALTER TABLE inbox DROP CONSTRAINT inbox_source_check;
ALTER TABLE inbox ADD CONSTRAINT inbox_source_check CHECK (source IN ('waha', 'n8n', 'meta'));
