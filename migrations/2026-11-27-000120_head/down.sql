ALTER TABLE mailings DROP COLUMN head_up_to, DROP COLUMN head_size;
