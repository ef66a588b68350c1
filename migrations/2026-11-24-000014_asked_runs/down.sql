DROP INDEX job_runs_asked;
UPDATE job_runs SET started_at = slot WHERE started_at IS NULL;
ALTER TABLE job_runs ALTER COLUMN started_at SET NOT NULL;
