-- What Meta told about an account or its number by itself, as a sentence.
CREATE TABLE account_notices (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  account_id bigint NOT NULL REFERENCES accounts,
  at timestamptz NOT NULL DEFAULT wablast_now(),
  -- the post that brought it: applied twice it is there once
  inbox_id bigint NOT NULL,
  -- Meta's word for it
  event text NOT NULL,
  -- somebody should do something
  serious boolean NOT NULL,
  words text NOT NULL,
  UNIQUE (company_id, id),
  CONSTRAINT account_notices_once UNIQUE (account_id, inbox_id, words)
);
COMMENT ON TABLE account_notices IS 'news of Meta about accounts, as the pages of accounts tell them';
CREATE INDEX account_notices_latest ON account_notices (account_id, id DESC);
SELECT wablast_protect('account_notices');
