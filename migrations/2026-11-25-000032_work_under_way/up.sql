-- What is under way: buttons that were pressed, forms that wait for somebody to sign in, bulk actions.

-- A form of one page is done once; a second press finds what the first one led to.
CREATE TABLE presses (
  company_id bigint NOT NULL REFERENCES companies,
  -- sha256 of the page's mark, the address and what was sent
  key bytea NOT NULL,
  -- the address of the result; null while it is under way
  result text,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  PRIMARY KEY (company_id, key)
);
CREATE INDEX presses_age ON presses (created_at);

-- A form that came after its session had ended: sealed, for its writer alone, for a day.
CREATE TABLE kept_forms (
  -- sha256 of the mark in the address
  id_hash bytea PRIMARY KEY,
  user_id bigint NOT NULL REFERENCES users,
  -- where the person worked then
  company_id bigint NOT NULL REFERENCES companies,
  -- the page the form stands on
  page text NOT NULL,
  sealed bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT wablast_now()
);
CREATE INDEX kept_forms_user ON kept_forms (user_id, created_at);

-- One action over many records: asked with its records frozen, then done in chunks.
CREATE TABLE bulk_runs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  user_id bigint NOT NULL REFERENCES users,
  action text NOT NULL,
  -- the list's id, or the reason
  argument text NOT NULL DEFAULT '',
  -- as people read it
  argument_name text NOT NULL DEFAULT '',
  -- the list as it was looked at
  back text NOT NULL,
  state text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'running', 'done', 'canceled', 'failed')),
  total bigint NOT NULL DEFAULT 0,
  -- how far it has come
  position bigint NOT NULL DEFAULT 0,
  changed bigint NOT NULL DEFAULT 0,
  error text,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  started_at timestamptz,
  finished_at timestamptz
);
CREATE INDEX bulk_runs_running ON bulk_runs (id) WHERE state = 'running';
CREATE INDEX bulk_runs_user ON bulk_runs (company_id, user_id, id);

CREATE TABLE bulk_items (
  company_id bigint NOT NULL,
  run_id bigint NOT NULL REFERENCES bulk_runs ON DELETE CASCADE,
  position bigint NOT NULL,
  record_id bigint NOT NULL,
  -- why nothing was done with it; null: done, or not reached yet
  left_out text,
  PRIMARY KEY (run_id, position)
);
CREATE INDEX bulk_items_left_out ON bulk_items (run_id, position) WHERE left_out IS NOT NULL;

SELECT wablast_protect(t) FROM unnest(ARRAY['presses', 'kept_forms', 'bulk_runs', 'bulk_items']::regclass[]) t;
