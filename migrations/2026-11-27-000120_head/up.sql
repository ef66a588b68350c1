-- The first people of a large audience are frozen ahead of all others, so that they do not wait for them.
ALTER TABLE mailings
  ADD COLUMN head_up_to bigint,
  ADD COLUMN head_size bigint;
COMMENT ON COLUMN mailings.head_up_to IS 'contacts up to this id were frozen first; null: nobody was';
COMMENT ON COLUMN mailings.head_size IS 'how many they are';
