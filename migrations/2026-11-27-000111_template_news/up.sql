-- Since when a template is in its category, and the sample file of its header; whether marketing goes by Meta's own call.
ALTER TABLE templates ADD COLUMN category_changed_at timestamptz, ADD COLUMN media_id bigint,
  ADD FOREIGN KEY (company_id, media_id) REFERENCES media (company_id, id);
COMMENT ON COLUMN templates.category_changed_at IS 'when Meta moved it there from category_before; null: it never did';
COMMENT ON COLUMN templates.media_id IS 'what Meta''s reviewers see as the header; people get the file of the mailing';
CREATE INDEX templates_media ON templates (media_id) WHERE media_id IS NOT NULL;
UPDATE templates SET category_changed_at = updated_at WHERE category_before IS NOT NULL;
ALTER TABLE account_sending ADD COLUMN marketing_messages boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN account_sending.marketing_messages IS 'marketing templates of a number at Meta go through its call marketing_messages';
