-- Replies quote the message they answer; a person who says stop may be told that it was understood.
ALTER TABLE accounts ADD COLUMN opt_out_confirmation text NOT NULL DEFAULT '';
-- The gateway's id of the message that this one answers.
ALTER TABLE outgoing_content ADD COLUMN quoted text;
-- The whole id at the gateway, as a quote must name it; provider_id is the part that is the same everywhere.
ALTER TABLE incoming ADD COLUMN full_id text;
