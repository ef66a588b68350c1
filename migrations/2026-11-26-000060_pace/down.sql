DROP FUNCTION wablast_mailed(bigint, bigint, integer);
ALTER TABLE companies DROP COLUMN frequency_mailings, DROP COLUMN frequency_days;
DROP INDEX outgoing_not_after;
ALTER TABLE mailings DROP COLUMN not_after;
DROP INDEX outgoing_later;
DROP INDEX outgoing_queue;
CREATE INDEX outgoing_queue ON outgoing (mailing_id, id) WHERE state = 'queued';
DROP FUNCTION wablast_counted(integer[], integer);
DROP FUNCTION wablast_capped_until(wablast_room, integer);
DROP FUNCTION wablast_room(account_pace, accounts, timestamptz);
DROP TYPE wablast_room;
DROP FUNCTION wablast_day_cap(integer, integer, integer, timestamptz, timestamptz);
DROP FUNCTION wablast_slowed(double precision, timestamptz, timestamptz);
ALTER TABLE account_pace DROP COLUMN slow, DROP COLUMN slowed_at, DROP COLUMN next_at, DROP COLUMN slot, DROP COLUMN sent, DROP COLUMN rules_at;
ALTER TABLE accounts DROP COLUMN hourly_cap, DROP COLUMN daily_cap, DROP COLUMN delay_min, DROP COLUMN delay_max,
  DROP COLUMN warm_up_first, DROP COLUMN warm_up_days, DROP COLUMN warm_up_since, DROP COLUMN person_gap,
  DROP COLUMN quiet_from, DROP COLUMN quiet_until, DROP COLUMN quiet_local;
