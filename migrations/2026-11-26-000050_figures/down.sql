DROP INDEX outgoing_wrong;
DROP TABLE mailing_figures;
