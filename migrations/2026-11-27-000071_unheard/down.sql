ALTER TABLE account_sessions DROP COLUMN asked_at, DROP COLUMN looked_at;
DROP TABLE unheard;
DROP TABLE unheard_cursor;
