-- The running instances, each by its own sign of life; and one look a second at the time.
CREATE TABLE instances (
  id uuid PRIMARY KEY,
  -- where it listens, and on which machine
  name text NOT NULL,
  role text NOT NULL CHECK (role IN ('all', 'web', 'worker')),
  version text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT wablast_now(),
  seen_at timestamptz NOT NULL DEFAULT wablast_now(),
  -- its clock less the database's, in milliseconds
  clock_ms bigint NOT NULL
);
SELECT wablast_protect('instances'::regclass);
