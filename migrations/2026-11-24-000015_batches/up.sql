-- Batched delivery: messages rest until the job Scheduler Enqueue, or a person, opens the next batch.
ALTER TABLE accounts ADD COLUMN batch_size integer NOT NULL DEFAULT 100 CHECK (batch_size BETWEEN 1 AND 10000);
COMMENT ON COLUMN accounts.batch_size IS 'how many messages one run of Scheduler Enqueue opens; counts where delivery is batched';

ALTER TABLE outgoing ADD COLUMN opened_at timestamptz;
COMMENT ON COLUMN outgoing.opened_at IS 'since when a message of a batched mailing may leave; null: it rests. Without meaning for all others';
-- Only what is opened and has not ended is in it: a rest of a million is not walked to find a batch.
CREATE INDEX outgoing_opened ON outgoing (mailing_id, id)
  WHERE opened_at IS NOT NULL AND state IN ('queued', 'claimed', 'sending');

INSERT INTO jobs (name, label, interval_number, interval_unit, active)
VALUES ('scheduler_enqueue', 'Infinys Whatsapp Blasting : Scheduler Enqueue', 2, 'minutes', false);
