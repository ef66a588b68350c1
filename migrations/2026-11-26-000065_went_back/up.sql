-- A database that is not the one it was: more ways to see it, and why it was locked.
ALTER TABLE installation
  -- folder, restored, promoted: its identity changed so; forgot: an instance sent what is not on record
  ADD COLUMN lock_reason text CHECK (lock_reason IN ('folder', 'restored', 'promoted', 'forgot')),
  -- what instances remembered to have sent when it was locked: waiting here, and uncertain since
  ADD COLUMN left_uncertain bigint NOT NULL DEFAULT 0,
  -- and not known here at all
  ADD COLUMN left_unknown bigint NOT NULL DEFAULT 0;

-- What is unlocked now stays so: the same database gets the longer name below.
UPDATE installation SET cluster = concat_ws('/', cluster, 'installation'::regclass::oid, nullif(current_setting('wablast.folder', true), ''))
  WHERE cluster = wablast_cluster();

-- Identity of the database as it is now. The table's number is another one after a restore into the same
-- database, the folder's mark in a copied folder of the private PostgreSQL (`src/embedded/mark.rs`).
CREATE OR REPLACE FUNCTION wablast_cluster() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()), left(pg_walfile_name(pg_current_wal_lsn()), 8),
    (SELECT oid FROM pg_database WHERE datname = current_database()), 'public.installation'::regclass::oid,
    nullif(current_setting('wablast.folder', true), ''))
$$;

-- In what way another identity differs.
CREATE FUNCTION wablast_difference(was text, here text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN split_part(was, '/', 1) <> split_part(here, '/', 1) OR split_part(was, '/', 3) <> split_part(here, '/', 3)
      OR split_part(was, '/', 4) <> split_part(here, '/', 4) THEN 'restored'
    WHEN split_part(was, '/', 5) <> split_part(here, '/', 5) THEN 'folder'
    ELSE 'promoted'
  END
$$;

-- Nothing leaves from now on before an administrator says so. Locked once, the first reason stays.
CREATE FUNCTION wablast_lock(why text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE installation SET locked_at = wablast_now(), lock_reason = why, left_uncertain = 0, left_unknown = 0 WHERE locked_at IS NULL;
  UPDATE mailings SET state = 'paused', updated_at = wablast_now(),
    state_reason = format('The database was restored, copied or promoted on %s. Nothing leaves before an administrator unlocks sending.',
      to_char(wablast_now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'))
  WHERE state = 'sending';
  INSERT INTO account_pace (account_id, company_id, tokens, tokens_at)
    SELECT a.id, a.company_id, 0, wablast_now() FROM accounts a ON CONFLICT DO NOTHING;
  UPDATE account_pace SET blocked_until = wablast_now() + interval '100 years', blocked_reason = 'locked'
    WHERE blocked_until IS NULL OR blocked_until < wablast_now() + interval '1 year';
END $$;

-- Says which database this is, and which run of its server: whoever hears something new has to look again.
DROP FUNCTION wablast_guard();
CREATE FUNCTION wablast_guard() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  here text;
  was text;
BEGIN
  IF pg_is_in_recovery() THEN RETURN 'in recovery'; END IF;
  here := wablast_cluster();
  PERFORM FROM installation WHERE cluster = here;
  IF NOT FOUND THEN
    SELECT cluster INTO was FROM installation FOR UPDATE;
    IF FOUND AND was IS DISTINCT FROM here THEN
      UPDATE installation SET cluster = here;
      IF was IS NOT NULL THEN PERFORM wablast_lock(wablast_difference(was, here)); END IF;
    END IF;
  END IF;
  RETURN here || ' ' || pg_postmaster_start_time();
END $$;
