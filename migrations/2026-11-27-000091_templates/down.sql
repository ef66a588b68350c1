ALTER TABLE mailing_versions DROP COLUMN template, DROP COLUMN template_id;
ALTER TABLE mailings DROP COLUMN template_id, DROP COLUMN template_values;
DROP TABLE templates;
