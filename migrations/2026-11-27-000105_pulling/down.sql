DROP FUNCTION wablast_pulled(accounts);
DROP TABLE account_pulling;
