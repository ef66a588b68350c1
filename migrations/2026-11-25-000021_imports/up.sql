-- Imports run beside the requests: their files in pieces that every instance reaches, their position,
-- and who is at work on them.

CREATE TABLE import_chunks (
  company_id bigint NOT NULL,
  import_id bigint NOT NULL,
  number integer NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (import_id, number),
  FOREIGN KEY (company_id, import_id) REFERENCES imports (company_id, id)
);
-- Read once and thrown away: compressing would cost more than it saves.
ALTER TABLE import_chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- Rows that were not imported, as they came.
CREATE TABLE import_rejected (
  company_id bigint NOT NULL,
  import_id bigint NOT NULL,
  line bigint NOT NULL,
  cells jsonb NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (import_id, line),
  FOREIGN KEY (company_id, import_id) REFERENCES imports (company_id, id)
);

ALTER TABLE imports
  -- what is queued or running: the import itself, or a test that writes nothing
  ADD COLUMN task text NOT NULL DEFAULT 'import' CHECK (task IN ('import', 'test')),
  -- rows that are done; of an import they are committed
  ADD COLUMN position bigint NOT NULL DEFAULT 0,
  -- what the last test said
  ADD COLUMN tested jsonb,
  -- who works on it, and until when others leave it alone
  ADD COLUMN lease uuid,
  ADD COLUMN lease_until timestamptz,
  -- how often work began without coming forward since
  ADD COLUMN tries integer NOT NULL DEFAULT 0,
  -- people taken back out
  ADD COLUMN undone bigint NOT NULL DEFAULT 0,
  ADD COLUMN undone_at timestamptz;
CREATE INDEX imports_open ON imports (id) WHERE state IN ('queued', 'running');
UPDATE imports SET position = rows WHERE state = 'done';

-- The import that made a person. Without a foreign key: a million rows a statement.
ALTER TABLE contacts ADD COLUMN import_id bigint;
CREATE INDEX contacts_import ON contacts (import_id, id) WHERE import_id IS NOT NULL;

INSERT INTO import_chunks (company_id, import_id, number, bytes)
SELECT company_id, id, 0, content FROM imports WHERE content IS NOT NULL;
UPDATE imports SET content = NULL WHERE content IS NOT NULL;

SELECT wablast_protect(t) FROM unnest(ARRAY['import_chunks', 'import_rejected']::regclass[]) t;
