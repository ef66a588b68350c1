-- What is known of an account's session beside what its gateway says when it is asked. Owned by accounts.
CREATE TABLE account_sessions (
  account_id bigint PRIMARY KEY REFERENCES accounts,
  company_id bigint NOT NULL,
  -- our address, events and key were last written into the session's configuration
  hooks_set_at timestamptz,
  -- an event came without our signature, or with another key's; noted once a minute at most
  refused_at timestamptz,
  refused_why text CHECK (refused_why IN ('unsigned', 'wrong_key'))
);
SELECT wablast_protect('account_sessions'::regclass);
