-- How a number at Meta stands, and whom a company wrote to first within a day.

CREATE TABLE meta_numbers (
  account_id bigint PRIMARY KEY REFERENCES accounts,
  company_id bigint NOT NULL,
  -- digits
  number text NOT NULL DEFAULT '',
  verified_name text NOT NULL DEFAULT '',
  -- Meta's words in lower case; empty where it did not say
  status text NOT NULL DEFAULT '',
  quality text NOT NULL DEFAULT '',
  throughput text NOT NULL DEFAULT '',
  -- tier_2k and the like; it is the portfolio's
  messaging_limit text NOT NULL DEFAULT '',
  limit_at timestamptz,
  -- what Meta restricts, in its own word
  restriction text,
  restricted_at timestamptz,
  token_scopes text[] NOT NULL DEFAULT '{}',
  token_expires_at timestamptz,
  -- Meta answered about the token
  token_known boolean NOT NULL DEFAULT false,
  -- Meta was asked then, and answered then
  asked_at timestamptz,
  known_at timestamptz
);
COMMENT ON TABLE meta_numbers IS 'what Meta said last about the number of an account';
SELECT wablast_protect('meta_numbers');

-- A row for each person a company wrote to through Meta outside of an open window; the newest time.
CREATE TABLE reached (
  company_id bigint NOT NULL,
  contact_id bigint NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (company_id, contact_id)
);
COMMENT ON TABLE reached IS 'for the limit of people a business may write first to in 24 hours; of the company that owns the account';
CREATE INDEX reached_at ON reached (company_id, at);
SELECT wablast_protect('reached');
