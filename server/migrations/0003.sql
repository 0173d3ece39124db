-- The search for a step's earlier result ignores case, as every `_all_` and `_any_` does.
DROP INDEX tasks_pipeline_job_hash;
CREATE INDEX tasks_pipeline_job_hash ON tasks (pipeline_job_hash COLLATE NOCASE);
