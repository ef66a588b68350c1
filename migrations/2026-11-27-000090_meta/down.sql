DROP TABLE media_uploads;
ALTER TABLE attempts DROP COLUMN failure_code;
DELETE FROM inbox WHERE source = 'meta';
ALTER TABLE inbox DROP CONSTRAINT inbox_source_check;
ALTER TABLE inbox ADD CONSTRAINT inbox_source_check CHECK (source IN ('waha', 'n8n'));
