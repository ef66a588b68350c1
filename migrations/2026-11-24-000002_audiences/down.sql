DROP TABLE logs, audience, mailing_contacts, mailing_lists;
ALTER TABLE mailing_versions DROP CONSTRAINT mailing_versions_company_id_mailing_id_fkey;
DROP TABLE mailings, mailing_versions;
DROP FUNCTION wablast_refuse_change();
DROP TABLE imports, list_members, lists, blacklist, contact_tags, tags, contact_identities, contacts,
  account_users, account_companies, accounts;
