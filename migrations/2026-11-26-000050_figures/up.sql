-- Figures of a mailing that cost the more the more messages it has: counted while somebody looks, and kept
-- until counting them again has become cheap beside the time that passed.
CREATE TABLE mailing_figures (
  mailing_id bigint NOT NULL,
  company_id bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('counts', 'curve')),
  figures jsonb NOT NULL,
  taken_at timestamptz NOT NULL,
  -- how long counting took
  took_ms bigint NOT NULL,
  -- somebody is counting again; after this moment another one may
  counting_until timestamptz,
  PRIMARY KEY (mailing_id, kind)
);
SELECT wablast_protect('mailing_figures'::regclass);

-- What a mailing settles by must not read all of it; these are few, and messages that go well never enter.
CREATE INDEX outgoing_wrong ON outgoing (mailing_id, state) WHERE state IN ('failed', 'expired', 'uncertain');
