ALTER TABLE incoming DROP COLUMN full_id;
ALTER TABLE outgoing_content DROP COLUMN quoted;
ALTER TABLE accounts DROP COLUMN opt_out_confirmation;
