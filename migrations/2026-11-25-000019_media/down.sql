DELETE FROM job_runs WHERE job = 'sweep_media';
DELETE FROM jobs WHERE name = 'sweep_media';
ALTER TABLE outgoing_content DROP COLUMN media_id;
ALTER TABLE mailing_versions DROP COLUMN media_id;
ALTER TABLE mailings DROP CONSTRAINT mailings_media_check, DROP CONSTRAINT mailings_header_type_check;
UPDATE mailings SET header_type = 'none' WHERE media_id IS NOT NULL;
ALTER TABLE mailings DROP COLUMN media_id,
  ADD CONSTRAINT mailings_header_type_check CHECK (header_type IN ('none', 'text'));
DROP TABLE media_links;
DROP TABLE media_leftovers;
DROP TABLE media;
