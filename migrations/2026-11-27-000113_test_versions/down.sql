UPDATE outgoing SET version_id = NULL WHERE kind = 'test' AND version_id IS NOT NULL;
DELETE FROM mailing_versions WHERE mailing_id IS NULL;
ALTER TABLE mailing_versions ALTER COLUMN mailing_id SET NOT NULL;
