DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_policies WHERE tablename = 'accounts' AND policyname = 'company') THEN
    ALTER POLICY company ON accounts USING (company_id = current_setting('app.company')::bigint OR EXISTS (
      SELECT FROM account_companies ac
      WHERE ac.account_id = accounts.id AND ac.company_id = current_setting('app.company')::bigint));
  END IF;
END $$;
