UPDATE imports i SET content = c.bytes FROM import_chunks c WHERE c.import_id = i.id AND c.number = 0
  AND NOT EXISTS (SELECT FROM import_chunks more WHERE more.import_id = i.id AND more.number > 0);
UPDATE imports SET state = 'canceled' WHERE state IN ('draft', 'queued', 'running') AND content IS NULL;
UPDATE imports SET state = 'draft' WHERE state IN ('queued', 'running');
ALTER TABLE contacts DROP COLUMN import_id;
ALTER TABLE imports
  DROP COLUMN task, DROP COLUMN position, DROP COLUMN tested, DROP COLUMN lease, DROP COLUMN lease_until,
  DROP COLUMN tries, DROP COLUMN undone, DROP COLUMN undone_at;
DROP TABLE import_rejected;
DROP TABLE import_chunks;
