DELETE FROM job_runs WHERE job = 'scheduler_enqueue';
DELETE FROM jobs WHERE name = 'scheduler_enqueue';
DROP INDEX outgoing_opened;
ALTER TABLE outgoing DROP COLUMN opened_at;
ALTER TABLE accounts DROP COLUMN batch_size;
