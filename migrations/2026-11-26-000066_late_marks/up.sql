-- What is known of an account's messages later only, until the account's own count takes it. Rows are only
-- added and taken: whoever adds one holds up nobody.
CREATE TABLE late_marks (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL,
  account_id bigint NOT NULL,
  -- as in account_recent: f failed, u uncertain
  mark text NOT NULL CHECK (mark IN ('f', 'u')),
  reason text NOT NULL
);
SELECT wablast_protect('late_marks'::regclass);
