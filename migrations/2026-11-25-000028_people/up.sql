-- People are invited and choose their own password, behind a link that works once.
ALTER TABLE users ALTER COLUMN password_hash DROP NOT NULL;
COMMENT ON COLUMN users.password_hash IS 'argon2id as a PHC string; null: to be chosen behind a one-time link';
ALTER TABLE users ADD COLUMN joined_at timestamptz;
COMMENT ON COLUMN users.joined_at IS 'when the first password was chosen; null: invited';
UPDATE users SET joined_at = created_at;

CREATE TABLE user_links (
  -- one a person: a new one makes the old void
  user_id bigint PRIMARY KEY REFERENCES users,
  -- sha256 of what stands in the address
  token_hash bytea NOT NULL,
  -- null: the command line
  created_by bigint REFERENCES users,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  expires_at timestamptz NOT NULL,
  CONSTRAINT user_links_token_unique UNIQUE (token_hash)
);
SELECT wablast_protect('user_links');
