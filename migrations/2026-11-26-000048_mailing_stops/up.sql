-- Mailings whose content a gateway refused: noted by delivery, paused by the mailings within a second.
CREATE TABLE mailing_stops (
  mailing_id bigint PRIMARY KEY,
  company_id bigint NOT NULL,
  reason text NOT NULL,
  at timestamptz NOT NULL DEFAULT wablast_now()
);
SELECT wablast_protect('mailing_stops'::regclass);
