-- Roles, time, companies, people who sign in.
--
-- Three roles stand behind the second wall between companies: `wablast` owns the tables,
-- `wablast_app` sees one company at a time, `wablast_worker` sees all. They belong to the cluster, so
-- src/db.rs makes them before it migrates. Where the connecting user may not create roles the wall is
-- off, and the start-up line says so.

-- The only time SQL knows. Tests replace it with one that a test can move.
CREATE FUNCTION wablast_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()';

-- Gives both roles their rights on a table and, where it carries company_id, puts it behind the wall.
CREATE FUNCTION wablast_protect(target regclass, visible text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  name text := target::text;
  walled boolean := EXISTS (SELECT FROM pg_attribute WHERE attrelid = target AND attname = 'company_id' AND NOT attisdropped);
  rule text := coalesce(visible, 'company_id = current_setting(''app.company'')::bigint');
BEGIN
  IF NOT (EXISTS (SELECT FROM pg_roles WHERE rolname = 'wablast_app') AND EXISTS (SELECT FROM pg_roles WHERE rolname = 'wablast_worker')) THEN
    RETURN;
  END IF;
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO wablast_app, wablast_worker', name);
  IF walled THEN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY company ON %s TO wablast_app USING (%s) WITH CHECK (%s)', name, rule,
                   'company_id = current_setting(''app.company'')::bigint');
    EXECUTE format('CREATE POLICY worker ON %s TO wablast_worker USING (true) WITH CHECK (true)', name);
    EXECUTE format('CREATE POLICY owner ON %s TO %I USING (true) WITH CHECK (true)', name, current_user);
  END IF;
END $$;

-- One row: what belongs to the installation and to no company.
CREATE TABLE installation (
  id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  set_up_at timestamptz,
  -- sha256 of the one-time token of the set-up page; null once used
  setup_token_hash bytea,
  -- the key that stored secrets were written with, as a fingerprint: a wrong key refuses to start
  key_fingerprint text
);
INSERT INTO installation DEFAULT VALUES;

CREATE TABLE companies (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL CHECK (name <> ''),
  -- ISO 3166 code: numbers without a prefix are read as this country's
  country text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
  -- IANA name
  time_zone text NOT NULL,
  -- a mailing later than this becomes Missed instead of going out
  late_tolerance_minutes integer NOT NULL DEFAULT 1440 CHECK (late_tolerance_minutes >= 0),
  opt_out_words text[] NOT NULL DEFAULT '{STOP,UNSUBSCRIBE,BERHENTI,BATAL,PARAR,SALIR,ARRET}',
  opt_in_words text[] NOT NULL DEFAULT '{START,UNSTOP,MULAI}',
  active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  updated_at timestamptz NOT NULL DEFAULT wablast_now()
);

CREATE TABLE users (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL CHECK (name <> ''),
  email text NOT NULL CHECK (email = lower(email)),
  -- argon2id as a PHC string
  password_hash text NOT NULL,
  language text NOT NULL DEFAULT 'en' CHECK (language IN ('en', 'id')),
  theme text NOT NULL DEFAULT 'auto' CHECK (theme IN ('light', 'dark', 'auto')),
  -- null: the active company's
  time_zone text,
  active_company_id bigint NOT NULL REFERENCES companies,
  active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  updated_at timestamptz NOT NULL DEFAULT wablast_now(),
  CONSTRAINT users_email_unique UNIQUE (email)
);

-- Which companies a user may work in, and as what.
CREATE TABLE user_companies (
  user_id bigint NOT NULL REFERENCES users,
  company_id bigint NOT NULL REFERENCES companies,
  role text NOT NULL CHECK (role IN ('user', 'manager', 'administrator')),
  PRIMARY KEY (user_id, company_id)
);
ALTER TABLE users ADD CONSTRAINT users_active_company_allowed
  FOREIGN KEY (id, active_company_id) REFERENCES user_companies (user_id, company_id) DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE sessions (
  -- sha256 of the id in the cookie
  id_hash bytea PRIMARY KEY,
  user_id bigint REFERENCES users,
  state jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  last_used_at timestamptz NOT NULL,
  address text,
  agent text
);
CREATE INDEX sessions_user ON sessions (user_id);

-- Failed sign-ins, by e-mail and by address, so that all instances slow down together.
CREATE TABLE login_failures (
  subject text PRIMARY KEY,
  failures integer NOT NULL,
  last_at timestamptz NOT NULL
);

CREATE TABLE api_tokens (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  user_id bigint NOT NULL REFERENCES users,
  name text NOT NULL CHECK (name <> ''),
  -- sha256 of the token
  token_hash bytea NOT NULL,
  scopes text[] NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  last_used_at timestamptz,
  revoked_at timestamptz,
  CONSTRAINT api_tokens_hash_unique UNIQUE (token_hash)
);

-- The same key within 48 h answers the first result.
CREATE TABLE idempotency_keys (
  company_id bigint NOT NULL REFERENCES companies,
  token_id bigint NOT NULL REFERENCES api_tokens,
  key text NOT NULL,
  request_hash bytea NOT NULL,
  status smallint,
  answer jsonb,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  PRIMARY KEY (token_id, key)
);

-- What happened to a record: who, when, what; and notes people leave.
CREATE TABLE audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  noun text NOT NULL,
  record_id bigint NOT NULL,
  -- null: the system
  user_id bigint REFERENCES users,
  at timestamptz NOT NULL DEFAULT wablast_now(),
  action text NOT NULL,
  -- [{"field", "old", "new"}]; never a secret
  changes jsonb NOT NULL DEFAULT '[]',
  note text
);
CREATE INDEX audit_record ON audit (company_id, noun, record_id, id);

-- Jobs run inside the process; the row decides when, UNIQUE (job, slot) that it happens once.
CREATE TABLE jobs (
  name text PRIMARY KEY,
  label text NOT NULL,
  interval_number integer NOT NULL CHECK (interval_number > 0),
  interval_unit text NOT NULL CHECK (interval_unit IN ('minutes', 'hours', 'days', 'weeks', 'months')),
  time_zone text NOT NULL DEFAULT 'UTC',
  active boolean NOT NULL,
  next_run timestamptz NOT NULL DEFAULT wablast_now(),
  last_run timestamptz,
  updated_at timestamptz NOT NULL DEFAULT wablast_now()
);

CREATE TABLE job_runs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job text NOT NULL REFERENCES jobs,
  -- the instant it was due; a manual run has the instant it was asked for
  slot timestamptz NOT NULL,
  trigger text NOT NULL CHECK (trigger IN ('schedule', 'manual')),
  user_id bigint REFERENCES users,
  started_at timestamptz NOT NULL,
  ended_at timestamptz,
  -- how many things it did
  done bigint NOT NULL DEFAULT 0,
  summary text,
  error text,
  CONSTRAINT job_runs_once UNIQUE (job, slot)
);
CREATE INDEX job_runs_recent ON job_runs (job, id DESC);

INSERT INTO jobs (name, label, interval_number, interval_unit, active)
VALUES ('scheduler_send', 'Infinys Whatsapp Blasting : Scheduler Send', 1, 'minutes', true);

SELECT wablast_protect(t) FROM unnest(ARRAY['installation', 'companies', 'users', 'sessions', 'login_failures', 'jobs', 'job_runs']::regclass[]) t;
SELECT wablast_protect(t) FROM unnest(ARRAY['idempotency_keys', 'audit']::regclass[]) t;
-- Signing in must find a person's companies and a token's company before a company is chosen:
-- these two are read through the worker's role only.
SELECT wablast_protect(t) FROM unnest(ARRAY['user_companies', 'api_tokens']::regclass[]) t;
