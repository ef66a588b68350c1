-- What passed between us and gateways, for administrators who look for a fault. Written in the background, never
-- by whoever sends; no foreign keys, as everything beside the hot tables.
CREATE TABLE gateway_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL,
  account_id bigint NOT NULL,
  gateway text NOT NULL CHECK (gateway IN ('waha', 'meta', 'n8n')),
  -- the message it was about; null: a question or a change of the account
  outgoing_id bigint,
  at timestamptz NOT NULL,
  method text NOT NULL,
  -- host and path
  address text NOT NULL,
  -- null: no answer
  status integer,
  ms integer NOT NULL,
  outcome text NOT NULL,
  -- why there was no answer
  failure text,
  -- redacted and cut; what it had in bytes
  request text NOT NULL,
  request_bytes bigint NOT NULL,
  answer text NOT NULL,
  answer_bytes bigint NOT NULL
);
CREATE INDEX gateway_log_order ON gateway_log (company_id, id DESC);
CREATE INDEX gateway_log_age ON gateway_log (at);
SELECT wablast_protect('gateway_log'::regclass);

-- How many were not written because more came than the queue holds.
CREATE TABLE gateway_log_dropped (
  company_id bigint NOT NULL,
  day date NOT NULL,
  dropped bigint NOT NULL,
  PRIMARY KEY (company_id, day)
);
SELECT wablast_protect('gateway_log_dropped'::regclass);

-- What a company has written down; without a row: errors, for a week.
CREATE TABLE gateway_log_settings (
  company_id bigint PRIMARY KEY REFERENCES companies,
  what text NOT NULL DEFAULT 'errors' CHECK (what IN ('nothing', 'errors', 'everything')),
  days integer NOT NULL DEFAULT 7 CHECK (days BETWEEN 1 AND 90)
);
SELECT wablast_protect('gateway_log_settings'::regclass);

INSERT INTO jobs (name, label, interval_number, interval_unit, active)
VALUES ('sweep_gateway_log', 'Infinys Whatsapp Blasting : Gateway Log Cleanup', 1, 'days', true);
