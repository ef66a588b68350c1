-- Accounts that pause themselves, and the single messages by which they find out whether they work again.
ALTER TABLE accounts ADD COLUMN auto_pause_percent integer NOT NULL DEFAULT 10 CHECK (auto_pause_percent BETWEEN 1 AND 100);
COMMENT ON COLUMN accounts.auto_pause_percent IS 'failed and uncertain, of the last 200 messages, that pause the account; 100: never for this';
COMMENT ON COLUMN accounts.health_retry_at IS 'when an account that its webhook stopped, or that paused itself, is tried again by itself; null: not by itself';

-- The last outcomes of an account, over all instances.
CREATE TABLE account_recent (
  account_id bigint PRIMARY KEY,
  company_id bigint NOT NULL,
  -- a letter an outcome, the newest last: . accepted, f failed, u uncertain, n the account could not send;
  -- empty while the last 200 were accepted, so that who sends without trouble writes nothing here
  recent text NOT NULL DEFAULT '',
  -- messages tried in vain since the account paused itself
  probes smallint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
SELECT wablast_protect('account_recent'::regclass);

-- The account tries one message at a time.
ALTER TABLE account_pace ADD COLUMN probing boolean NOT NULL DEFAULT false;

-- However an account starts again (by itself, a person, a test, its gateway), its pace and its memory follow.
CREATE FUNCTION account_health_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE probes boolean := NEW.health = 'running' AND NEW.health_code IS NOT DISTINCT FROM 'probe';
BEGIN
  UPDATE account_pace SET probing = probes,
    tokens = CASE WHEN probes THEN 1 WHEN probing THEN 0 ELSE tokens END,
    tokens_at = CASE WHEN probes THEN wablast_now() + interval '1 day' WHEN probing THEN wablast_now() ELSE tokens_at END,
    blocked_until = CASE WHEN (probes OR probing) AND blocked_reason = 'probe' THEN NULL ELSE blocked_until END
  WHERE account_id = NEW.id AND (probes OR probing);
  IF NEW.health = 'running' AND NOT probes THEN
    UPDATE account_recent SET recent = '', probes = 0 WHERE account_id = NEW.id;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER account_health_changed AFTER UPDATE OF health, health_code ON accounts FOR EACH ROW
  WHEN ((OLD.health, OLD.health_code) IS DISTINCT FROM (NEW.health, NEW.health_code))
  EXECUTE FUNCTION account_health_changed();

-- Whoever claims spends the one token there is; nothing follows before its outcome is known, or its
-- lease is over.
CREATE FUNCTION account_probe_taken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.tokens := 1;
  NEW.tokens_at := wablast_now() + interval '1 day';
  NEW.blocked_until := wablast_now() + interval '150 seconds';
  NEW.blocked_reason := 'probe';
  RETURN NEW;
END $$;
CREATE TRIGGER account_probe_taken BEFORE UPDATE OF tokens ON account_pace FOR EACH ROW
  WHEN (OLD.probing AND NEW.probing AND NEW.tokens < OLD.tokens)
  EXECUTE FUNCTION account_probe_taken();
