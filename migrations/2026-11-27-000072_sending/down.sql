DROP TABLE number_checks;
DROP TABLE account_sending;
