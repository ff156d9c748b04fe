-- What a job reads beside its model, by purpose ("evaluation"): the dataset that its recipe names for it, else
-- the one that came with the job. The name stays when the files are gone. job.dataset_name is what the client said.

CREATE TABLE job_data (
    job INTEGER NOT NULL REFERENCES job (n) ON DELETE CASCADE,
    purpose TEXT NOT NULL,
    version INTEGER REFERENCES model_version (id) ON DELETE SET NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (job, purpose)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_data_by_version ON job_data (version) WHERE version IS NOT NULL;

INSERT INTO job_data (job, purpose, version, name)
    SELECT n, 'evaluation', dataset_version, dataset_name FROM job WHERE dataset_name IS NOT NULL;
DROP INDEX job_by_dataset;
ALTER TABLE job DROP COLUMN dataset_version;
