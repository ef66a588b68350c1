-- What an import gave to people who were there before it, so that it can be taken back.
CREATE TABLE import_changes (
  company_id bigint NOT NULL,
  import_id bigint NOT NULL,
  -- without a foreign key, as contacts.import_id
  contact_id bigint NOT NULL,
  -- by field: {"old": what stood there, "new": what the import wrote}; an attribute that was not there has no "old"
  fields jsonb NOT NULL,
  -- the person's updated_at when they were written: as long as it holds, nothing has to be compared
  written_at timestamptz NOT NULL,
  -- ids of tags and of lists it put them into
  tags jsonb NOT NULL,
  lists jsonb NOT NULL,
  PRIMARY KEY (import_id, contact_id),
  FOREIGN KEY (company_id, import_id) REFERENCES imports (company_id, id)
);
-- who is deleted leaves nothing here
CREATE INDEX import_changes_contact ON import_changes (contact_id);
SELECT wablast_protect('import_changes');

-- people who got back what the import had replaced
ALTER TABLE imports ADD COLUMN restored bigint NOT NULL DEFAULT 0;

-- The attributes of `after` that are not as they were.
CREATE FUNCTION wablast_replaced_attributes(before jsonb, after jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(jsonb_object_agg('attributes.' || key, jsonb_build_object('new', value)
      || CASE WHEN before ? key THEN jsonb_build_object('old', before -> key) ELSE '{}' END), '{}')
  FROM jsonb_each(after) WHERE before -> key IS DISTINCT FROM value
$$;

-- What of the fields that an import may write is not as it was. Written out, so that PostgreSQL takes it into the
-- statement: comparing whole objects took four times as long.
CREATE FUNCTION wablast_replaced(o contacts, n contacts) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN o.name = n.name THEN '{}'::jsonb ELSE jsonb_build_object('name', jsonb_build_object('old', o.name, 'new', n.name)) END
    || CASE WHEN o.title = n.title THEN '{}'::jsonb ELSE jsonb_build_object('title', jsonb_build_object('old', o.title, 'new', n.title)) END
    || CASE WHEN o.email = n.email THEN '{}'::jsonb ELSE jsonb_build_object('email', jsonb_build_object('old', o.email, 'new', n.email)) END
    || CASE WHEN o.company_name = n.company_name THEN '{}'::jsonb ELSE jsonb_build_object('company_name', jsonb_build_object('old', o.company_name, 'new', n.company_name)) END
    || CASE WHEN o.job_position = n.job_position THEN '{}'::jsonb ELSE jsonb_build_object('job_position', jsonb_build_object('old', o.job_position, 'new', n.job_position)) END
    || CASE WHEN o.description = n.description THEN '{}'::jsonb ELSE jsonb_build_object('description', jsonb_build_object('old', o.description, 'new', n.description)) END
    || CASE WHEN o.country IS NOT DISTINCT FROM n.country THEN '{}'::jsonb ELSE jsonb_build_object('country', jsonb_build_object('old', o.country, 'new', n.country)) END
    || CASE WHEN o.attributes = n.attributes THEN '{}'::jsonb ELSE wablast_replaced_attributes(o.attributes, n.attributes) END
$$;

-- Those of the replaced fields that still hold what the import wrote.
CREATE FUNCTION wablast_unchanged(c contacts, replaced jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT coalesce(jsonb_object_agg(r.key, r.value), '{}')
  FROM (SELECT jsonb_build_object('name', c.name, 'title', c.title, 'country', c.country, 'email', c.email,
      'company_name', c.company_name, 'job_position', c.job_position, 'description', c.description) AS fields OFFSET 0) now,
    jsonb_each(replaced) r
  WHERE CASE WHEN starts_with(r.key, 'attributes.') THEN c.attributes -> substr(r.key, 12) ELSE now.fields -> r.key END
    IS NOT DISTINCT FROM r.value -> 'new'
$$;

-- Attributes with the earlier values of those that were replaced.
CREATE FUNCTION wablast_attributes_before(attributes jsonb, replaced jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT (attributes - coalesce(array_agg(substr(key, 12)), '{}'))
    || coalesce(jsonb_object_agg(substr(key, 12), value -> 'old') FILTER (WHERE value ? 'old'), '{}')
  FROM jsonb_each(replaced) WHERE starts_with(key, 'attributes.')
$$;
