ALTER TABLE attempts DROP COLUMN settled_by;
DROP TABLE log_ends;
