DROP TRIGGER account_probe_taken ON account_pace;
DROP TRIGGER account_health_changed ON accounts;
DROP FUNCTION account_probe_taken();
DROP FUNCTION account_health_changed();
ALTER TABLE account_pace DROP COLUMN probing;
DROP TABLE account_recent;
COMMENT ON COLUMN accounts.health_retry_at IS 'when an account that its webhook stopped is tried again by itself; null: not by itself';
ALTER TABLE accounts DROP COLUMN auto_pause_percent;
