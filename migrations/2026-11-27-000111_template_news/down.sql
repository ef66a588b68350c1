ALTER TABLE account_sending DROP COLUMN marketing_messages;
ALTER TABLE templates DROP COLUMN media_id, DROP COLUMN category_changed_at;
