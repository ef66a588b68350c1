DROP TRIGGER account_pace_made ON account_pace;
DROP FUNCTION account_pace_made();
DROP FUNCTION wablast_guard();
DROP FUNCTION wablast_cluster();
ALTER TABLE installation DROP COLUMN cluster, DROP COLUMN locked_at, DROP COLUMN releases_wait_until;
