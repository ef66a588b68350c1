DROP TABLE job_runs, jobs, audit, idempotency_keys, api_tokens, login_failures, sessions;
ALTER TABLE users DROP CONSTRAINT users_active_company_allowed;
DROP TABLE user_companies, users, companies, installation;
DROP FUNCTION wablast_protect(regclass, text);
DROP FUNCTION wablast_now();
