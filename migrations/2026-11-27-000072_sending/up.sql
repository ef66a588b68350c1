-- How a WAHA account sends beside its pace. An account without a row has the defaults.
CREATE TABLE account_sending (
  account_id bigint PRIMARY KEY REFERENCES accounts,
  company_id bigint NOT NULL,
  link_preview boolean NOT NULL DEFAULT true,
  -- seen and "typing…" before each message
  typing boolean NOT NULL DEFAULT false,
  -- numbers that wait are asked for at WhatsApp, at most so many in an hour
  check_numbers boolean NOT NULL DEFAULT false,
  checks_an_hour integer NOT NULL DEFAULT 60 CHECK (checks_an_hour BETWEEN 1 AND 1000),
  -- trouble halves the pace
  asked_at timestamptz,
  slow_down boolean NOT NULL DEFAULT false,
  slowed_at timestamptz,
  slowed_why text
);
SELECT wablast_protect('account_sending'::regclass);

-- What WhatsApp said of a number; of the people of a company who have it.
CREATE TABLE number_checks (
  company_id bigint NOT NULL,
  number text NOT NULL,
  account_id bigint NOT NULL,
  on_whatsapp boolean NOT NULL,
  -- where messages to the number go, when that is not the number itself
  chat_id text,
  checked_at timestamptz NOT NULL DEFAULT wablast_now(),
  PRIMARY KEY (company_id, number)
);
CREATE INDEX number_checks_budget ON number_checks (account_id, checked_at);
SELECT wablast_protect('number_checks'::regclass);
