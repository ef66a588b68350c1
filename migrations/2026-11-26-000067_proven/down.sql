DROP TABLE look_ups;
ALTER TABLE accounts DROP COLUMN resend_proven, DROP COLUMN session_broke_at;
