ALTER TABLE mailings DROP CONSTRAINT mailings_header_type_check, DROP CONSTRAINT mailings_media_check,
  ADD CONSTRAINT mailings_header_type_check CHECK (header_type IN ('none', 'text', 'image', 'video', 'document')),
  ADD CONSTRAINT mailings_media_check CHECK ((header_type IN ('image', 'video', 'document')) = (media_id IS NOT NULL));
ALTER TABLE media DROP CONSTRAINT media_kind_check,
  ADD CONSTRAINT media_kind_check CHECK (kind IN ('image', 'video', 'document'));
