-- What people keep of a list: searches under a name, and which optional columns they look at.
CREATE TABLE favourites (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  user_id bigint NOT NULL REFERENCES users,
  -- the list's address: /mailings
  list text NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  -- filters, groups, order, columns and words, as an address of the list writes them
  query text NOT NULL,
  -- what the list opens with: for its owner, and where it is shared for everybody without an own one
  is_default boolean NOT NULL DEFAULT false,
  -- seen by everybody of the company
  shared boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  updated_at timestamptz NOT NULL DEFAULT wablast_now()
);
CREATE UNIQUE INDEX favourites_name_unique ON favourites (company_id, user_id, list, lower(name));
CREATE UNIQUE INDEX favourites_default_unique ON favourites (company_id, user_id, list) WHERE is_default;
CREATE INDEX favourites_shared ON favourites (company_id, list) WHERE shared;

CREATE TABLE list_columns (
  company_id bigint NOT NULL REFERENCES companies,
  user_id bigint NOT NULL REFERENCES users,
  list text NOT NULL,
  keys text[] NOT NULL,
  PRIMARY KEY (company_id, user_id, list)
);

SELECT wablast_protect(t) FROM unnest(ARRAY['favourites', 'list_columns']::regclass[]) t;
