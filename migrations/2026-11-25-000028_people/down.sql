DROP TABLE user_links;
ALTER TABLE users DROP COLUMN joined_at;
-- No password fits this.
UPDATE users SET password_hash = '-' WHERE password_hash IS NULL;
ALTER TABLE users ALTER COLUMN password_hash SET NOT NULL;
