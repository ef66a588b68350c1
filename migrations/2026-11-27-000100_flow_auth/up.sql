-- How a flow knows that a push is ours. An account without a row shows user and password, where it has them.
CREATE TABLE account_flow (
  account_id bigint PRIMARY KEY REFERENCES accounts,
  company_id bigint NOT NULL,
  auth text NOT NULL DEFAULT 'basic' CHECK (auth IN ('basic', 'bearer', 'hmac')),
  -- sealed
  token bytea,
  signing_secret bytea
);
COMMENT ON TABLE account_flow IS 'the flow behind the webhook of an account: what a push shows to it';
SELECT wablast_protect('account_flow'::regclass);
