-- Trying again: what failed, or what nobody knows the end of, leaves once more by a person's word.

-- How a message had ended in a run, when a later run took it over: the totals of the earlier log stay.
CREATE TABLE log_ends (
  company_id bigint NOT NULL,
  log_id bigint NOT NULL,
  outgoing_id bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('failed', 'uncertain', 'expired')),
  code text,
  reason text,
  ended_at timestamptz NOT NULL DEFAULT wablast_now(),
  PRIMARY KEY (log_id, outgoing_id),
  FOREIGN KEY (company_id, log_id) REFERENCES logs (company_id, id)
);
CREATE INDEX log_ends_outgoing ON log_ends (outgoing_id, log_id DESC);
SELECT wablast_protect('log_ends');

ALTER TABLE attempts ADD COLUMN settled_by bigint;
COMMENT ON COLUMN attempts.settled_by IS 'who said that it arrived, where no gateway did';
