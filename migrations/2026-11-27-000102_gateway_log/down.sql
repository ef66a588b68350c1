DELETE FROM job_runs WHERE job = 'sweep_gateway_log';
DELETE FROM jobs WHERE name = 'sweep_gateway_log';
DROP TABLE gateway_log_settings;
DROP TABLE gateway_log_dropped;
DROP TABLE gateway_log;
