DROP FUNCTION wablast_twin(bigint, bigint, bigint, text);
DROP INDEX number_checks_chat;
