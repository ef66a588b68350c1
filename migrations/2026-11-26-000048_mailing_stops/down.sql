DROP TABLE mailing_stops;
