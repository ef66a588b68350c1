-- A test of a mailing on a template is sent as the template, filled: it has a version that belongs to no run.
ALTER TABLE mailing_versions ALTER COLUMN mailing_id DROP NOT NULL;
COMMENT ON COLUMN mailing_versions.mailing_id IS 'null: of a test, which says what the mailing said at that moment';
