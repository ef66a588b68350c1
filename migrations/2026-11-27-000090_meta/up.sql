-- Meta's Cloud API: its events, why a message failed after all, and files that a number has already.

ALTER TABLE inbox DROP CONSTRAINT inbox_source_check;
ALTER TABLE inbox ADD CONSTRAINT inbox_source_check CHECK (source IN ('waha', 'n8n', 'meta'));

ALTER TABLE attempts ADD COLUMN failure_code text;
COMMENT ON COLUMN attempts.failure_code IS 'the failure code of a receipt that said failed; null: gateway_error';

CREATE TABLE media_uploads (
  company_id bigint NOT NULL,
  account_id bigint NOT NULL REFERENCES accounts,
  media_id bigint NOT NULL,
  -- Meta's id of the file; it holds for this number alone
  provider_id text NOT NULL,
  uploaded_at timestamptz NOT NULL DEFAULT wablast_now(),
  PRIMARY KEY (account_id, media_id)
);
COMMENT ON TABLE media_uploads IS 'files that were uploaded to a gateway and can be named by id; Meta keeps them 30 days';
SELECT wablast_protect('media_uploads');
