DROP TABLE told_signs;
DROP INDEX incoming_reactions;
ALTER TABLE incoming DROP COLUMN reaction;
DROP TABLE incoming_files;
