DELETE FROM import_chunks WHERE workbook;
ALTER TABLE import_chunks DROP CONSTRAINT import_chunks_pkey, ADD PRIMARY KEY (import_id, number);
ALTER TABLE import_chunks DROP COLUMN workbook;
