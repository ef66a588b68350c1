-- A run somebody asks for is a row before it begins: whoever looks first begins it, once.
ALTER TABLE job_runs ALTER COLUMN started_at DROP NOT NULL;
COMMENT ON COLUMN job_runs.started_at IS 'null: asked for, not begun yet';
CREATE INDEX job_runs_asked ON job_runs (id) WHERE started_at IS NULL;
