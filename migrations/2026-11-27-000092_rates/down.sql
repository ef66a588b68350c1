DROP TABLE charge_sums;
DROP TABLE charges;
DROP TABLE rates;
DROP TABLE rate_cards;
