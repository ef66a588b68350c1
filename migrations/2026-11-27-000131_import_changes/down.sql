DROP FUNCTION wablast_attributes_before(jsonb, jsonb);
DROP FUNCTION wablast_unchanged(contacts, jsonb);
DROP FUNCTION wablast_replaced(contacts, contacts);
DROP FUNCTION wablast_replaced_attributes(jsonb, jsonb);
ALTER TABLE imports DROP COLUMN restored;
DROP TABLE import_changes;
