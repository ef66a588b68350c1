-- A workbook of several sheets stays beside the table of the one that was read, so that another can be read without a
-- new upload.
ALTER TABLE import_chunks ADD COLUMN workbook boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN import_chunks.workbook IS 'a piece of the workbook as it was uploaded; else of the table that is imported';
ALTER TABLE import_chunks DROP CONSTRAINT import_chunks_pkey, ADD PRIMARY KEY (import_id, workbook, number);
