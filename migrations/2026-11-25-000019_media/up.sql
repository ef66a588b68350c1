-- Files that go out with a mailing: image, video, document.
CREATE TABLE media (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  -- what its bytes say it is, never its name
  kind text NOT NULL CHECK (kind IN ('image', 'video', 'document')),
  file_name text NOT NULL CHECK (file_name <> ''),
  mime text NOT NULL,
  size bigint NOT NULL CHECK (size > 0),
  sha256 bytea NOT NULL,
  -- where it lies; rows with the same bytes share one
  storage_key text NOT NULL,
  created_by bigint REFERENCES users,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  -- uploaded last: what nothing refers to is kept for a day from here
  used_at timestamptz NOT NULL DEFAULT wablast_now(),
  UNIQUE (company_id, id),
  CONSTRAINT media_once UNIQUE (company_id, sha256, file_name)
);
CREATE INDEX media_used ON media (used_at);
CREATE INDEX media_key ON media (storage_key);

-- Files in the storage that no row of media has: about to have one, or to be deleted. Written before the
-- storage is touched, so that nothing has to be looked for there.
CREATE TABLE media_leftovers (
  storage_key text PRIMARY KEY,
  company_id bigint NOT NULL REFERENCES companies,
  since timestamptz NOT NULL DEFAULT wablast_now()
);

-- Addresses at which a gateway fetches a file, for one run.
CREATE TABLE media_links (
  token text PRIMARY KEY,
  company_id bigint NOT NULL,
  media_id bigint NOT NULL,
  -- ends with it; null: a message of its own, such as a test
  mailing_id bigint,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  expires_at timestamptz NOT NULL,
  FOREIGN KEY (company_id, media_id) REFERENCES media (company_id, id) ON DELETE CASCADE
);
CREATE INDEX media_links_media ON media_links (media_id);

ALTER TABLE mailings DROP CONSTRAINT mailings_header_type_check;
ALTER TABLE mailings ADD COLUMN media_id bigint,
  ADD CONSTRAINT mailings_header_type_check CHECK (header_type IN ('none', 'text', 'image', 'video', 'document')),
  ADD CONSTRAINT mailings_media_check CHECK ((header_type IN ('image', 'video', 'document')) = (media_id IS NOT NULL)),
  ADD FOREIGN KEY (company_id, media_id) REFERENCES media (company_id, id);
CREATE INDEX mailings_media ON mailings (media_id) WHERE media_id IS NOT NULL;
-- A version that was sent keeps its file for good.
ALTER TABLE mailing_versions ADD COLUMN media_id bigint, ADD FOREIGN KEY (company_id, media_id) REFERENCES media (company_id, id);
CREATE INDEX mailing_versions_media ON mailing_versions (media_id) WHERE media_id IS NOT NULL;
ALTER TABLE outgoing_content ADD COLUMN media_id bigint, ADD FOREIGN KEY (company_id, media_id) REFERENCES media (company_id, id);
CREATE INDEX outgoing_content_media ON outgoing_content (media_id) WHERE media_id IS NOT NULL;

INSERT INTO jobs (name, label, interval_number, interval_unit, active)
VALUES ('sweep_media', 'Infinys Whatsapp Blasting : Media Cleanup', 1, 'hours', true);

SELECT wablast_protect(t) FROM unnest(ARRAY['media', 'media_leftovers', 'media_links']::regclass[]) t;
