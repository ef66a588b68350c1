-- What Meta charges: a company's rate card, and what became of its messages.

CREATE TABLE rate_cards (
  company_id bigint PRIMARY KEY REFERENCES companies,
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  -- from when Meta asks these prices
  since date NOT NULL,
  source text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT wablast_now()
);
COMMENT ON TABLE rate_cards IS 'where the prices of a company come from, and in which currency they are';
SELECT wablast_protect('rate_cards');

CREATE TABLE rates (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  -- ISO code of the recipient's country
  country text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
  -- what people look for: its name in the languages of the panel
  names text NOT NULL,
  -- millionths of the card's currency for one delivered message
  marketing bigint NOT NULL CHECK (marketing BETWEEN 0 AND 1000000000),
  utility bigint NOT NULL CHECK (utility BETWEEN 0 AND 1000000000),
  authentication bigint NOT NULL CHECK (authentication BETWEEN 0 AND 1000000000),
  service bigint NOT NULL CHECK (service BETWEEN 0 AND 1000000000),
  updated_at timestamptz NOT NULL DEFAULT wablast_now(),
  UNIQUE (company_id, id),
  CONSTRAINT rates_country_unique UNIQUE (company_id, country)
);
SELECT wablast_protect('rates');

-- One row for each attempt that Meta reported as delivered together with what it charges it as.
CREATE TABLE charges (
  company_id bigint NOT NULL,
  attempt_id bigint PRIMARY KEY,
  outgoing_id bigint NOT NULL,
  account_id bigint NOT NULL,
  mailing_id bigint,
  log_id bigint,
  -- empty where the number belongs to no country
  country text NOT NULL,
  -- as Meta writes it: marketing, utility, service ...
  category text NOT NULL,
  billable boolean NOT NULL,
  currency text NOT NULL,
  -- millionths; null where the card has no price
  micros bigint,
  at timestamptz NOT NULL DEFAULT wablast_now()
);
COMMENT ON TABLE charges IS 'what delivered messages cost by the rate card of that moment';
SELECT wablast_protect('charges');

-- Their sums, kept by the statement that writes them.
CREATE TABLE charge_sums (
  company_id bigint NOT NULL,
  -- 0 where the message belongs to no mailing, no run
  mailing_id bigint NOT NULL,
  log_id bigint NOT NULL,
  currency text NOT NULL,
  category text NOT NULL,
  micros bigint NOT NULL,
  messages bigint NOT NULL,
  free bigint NOT NULL,
  without_price bigint NOT NULL,
  PRIMARY KEY (mailing_id, log_id, company_id, currency, category)
);
CREATE INDEX charge_sums_log ON charge_sums (log_id);
SELECT wablast_protect('charge_sums');
