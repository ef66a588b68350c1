CREATE OR REPLACE FUNCTION wablast_cluster() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()), left(pg_walfile_name(pg_current_wal_lsn()), 8),
    (SELECT oid FROM pg_database WHERE datname = current_database()))
$$;
UPDATE installation SET cluster = wablast_cluster() WHERE cluster IS NOT NULL;
DROP FUNCTION wablast_guard();
CREATE FUNCTION wablast_guard() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE here text;
BEGIN
  IF pg_is_in_recovery() THEN RETURN; END IF;
  here := wablast_cluster();
  PERFORM FROM installation WHERE cluster = here;
  IF FOUND THEN RETURN; END IF;
  UPDATE installation SET cluster = here WHERE cluster IS NULL;
  IF FOUND THEN RETURN; END IF;
  UPDATE installation SET cluster = here, locked_at = coalesce(locked_at, wablast_now()) WHERE cluster <> here;
  IF NOT FOUND THEN RETURN; END IF;
  UPDATE mailings SET state = 'paused', updated_at = wablast_now(),
    state_reason = format('The database was restored, copied or promoted on %s. Nothing leaves before an administrator unlocks sending.',
      to_char(wablast_now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'))
  WHERE state = 'sending';
  INSERT INTO account_pace (account_id, company_id, tokens, tokens_at)
    SELECT a.id, a.company_id, 0, wablast_now() FROM accounts a ON CONFLICT DO NOTHING;
  UPDATE account_pace SET blocked_until = wablast_now() + interval '100 years', blocked_reason = 'locked';
END $$;
DROP FUNCTION wablast_lock(text);
DROP FUNCTION wablast_difference(text, text);
ALTER TABLE installation DROP COLUMN lock_reason, DROP COLUMN left_uncertain, DROP COLUMN left_unknown;
