-- Accounts whose messages outside workers fetch: our own deliverer leaves them alone.
CREATE TABLE account_pulling (
  account_id bigint PRIMARY KEY REFERENCES accounts,
  company_id bigint NOT NULL,
  pulls boolean NOT NULL DEFAULT false,
  -- when a worker asked last
  pulled_at timestamptz
);
COMMENT ON TABLE account_pulling IS 'who sends the messages of an account that sends through a webhook; without a row we do';
SELECT wablast_protect('account_pulling', 'company_id = current_setting(''app.company'')::bigint OR EXISTS (SELECT FROM account_companies ac WHERE ac.account_id = account_pulling.account_id AND ac.active AND ac.company_id = current_setting(''app.company'')::bigint)');

-- Asked by the statements that take and begin, so that no two kinds of senders share a queue.
CREATE FUNCTION wablast_pulled(a accounts) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT a.send_through = 'webhook' AND EXISTS (SELECT FROM account_pulling p WHERE p.account_id = a.id AND p.pulls)
$$;
