-- Sending again by itself what WhatsApp proves not to have got: an account's policy, off by default.
ALTER TABLE accounts
  ADD COLUMN resend_proven boolean NOT NULL DEFAULT false,
  ADD COLUMN session_broke_at timestamptz;
COMMENT ON COLUMN accounts.resend_proven IS 'an uncertain message of which a complete look at WhatsApp finds nothing is sent again';
COMMENT ON COLUMN accounts.session_broke_at IS 'when its session was last seen to begin, end or not work: what was sent before may be missing in its store';

-- Uncertain messages that are looked for at WhatsApp. Owned by the look; a message without a row is not looked for.
CREATE TABLE look_ups (
  outgoing_id bigint PRIMARY KEY,
  company_id bigint NOT NULL,
  account_id bigint NOT NULL,
  -- of the attempt whose end is unknown
  fence integer NOT NULL,
  next_at timestamptz NOT NULL,
  -- since then every look found nothing of it
  clear_since timestamptz,
  -- the look was complete: it did not arrive
  proven_at timestamptz
);
SELECT wablast_protect('look_ups'::regclass);
