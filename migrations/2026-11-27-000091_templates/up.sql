-- Templates of Meta's accounts, and mailings that use one.

CREATE TABLE templates (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- the company that owns the account
  company_id bigint NOT NULL REFERENCES companies,
  account_id bigint NOT NULL REFERENCES accounts,
  -- Meta's id; empty while it is a draft of ours
  uid text NOT NULL DEFAULT '',
  name text NOT NULL CHECK (name ~ '^[a-z0-9_]+$' AND length(name) <= 512),
  language text NOT NULL CHECK (language <> ''),
  category text NOT NULL,
  -- draft, or Meta's word in lower case: approved, pending, rejected, paused, disabled ...
  status text NOT NULL,
  quality text NOT NULL DEFAULT 'none',
  -- why it was rejected or paused, or why handing it in failed
  reason text,
  -- what it consists of: header, body, footer, buttons, samples
  shape jsonb NOT NULL,
  -- Meta's category before it was changed, for the notice
  category_before text,
  active boolean NOT NULL DEFAULT true,
  created_by bigint REFERENCES users,
  created_at timestamptz NOT NULL DEFAULT wablast_now(),
  updated_at timestamptz NOT NULL DEFAULT wablast_now(),
  synced_at timestamptz,
  UNIQUE (company_id, id),
  CONSTRAINT templates_name_unique UNIQUE (account_id, name, language)
);
CREATE INDEX templates_order ON templates (company_id, id DESC);
SELECT wablast_protect('templates', 'company_id = current_setting(''app.company'')::bigint OR EXISTS (SELECT FROM account_companies ac WHERE ac.account_id = templates.account_id AND ac.active AND ac.company_id = current_setting(''app.company'')::bigint)');

ALTER TABLE mailings
  ADD COLUMN template_id bigint REFERENCES templates,
  ADD COLUMN template_values jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN mailings.template_values IS 'place in the template (body.1) to a text with placeholders';
CREATE INDEX mailings_template ON mailings (template_id) WHERE template_id IS NOT NULL;
ALTER TABLE mailing_versions ADD COLUMN template jsonb, ADD COLUMN template_id bigint;
COMMENT ON COLUMN mailing_versions.template IS 'the template it was sent as, with texts with placeholders for its variables; null: as it is';
