-- A database that went back in time must not send again what it does not remember having sent.
ALTER TABLE installation
  -- which cluster, timeline and database this is
  ADD COLUMN cluster text,
  -- it is not the one it was: nothing leaves until an administrator says so
  ADD COLUMN locked_at timestamptz,
  -- the clock jumped: nothing is released by itself before this moment
  ADD COLUMN releases_wait_until timestamptz;

-- Identity of the database as it is now: of a restored, copied or promoted one it is another.
CREATE FUNCTION wablast_cluster() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()), left(pg_walfile_name(pg_current_wal_lsn()), 8),
    (SELECT oid FROM pg_database WHERE datname = current_database()))
$$;

-- Locks sending where this is not the database it was. Asked by every connection before it is used, so that
-- no statement claims anything of such a database before it is locked.
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

-- An account that is new while sending is locked waits like the others.
CREATE FUNCTION account_pace_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM installation WHERE locked_at IS NOT NULL) THEN
    NEW.blocked_until := wablast_now() + interval '100 years';
    NEW.blocked_reason := 'locked';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER account_pace_made BEFORE INSERT ON account_pace FOR EACH ROW EXECUTE FUNCTION account_pace_made();
