-- A name stands for a model (kind 0) or for a dataset (kind 1); each kind has names of its own. What both are
-- is the same: an immutable list of files, and what inspection found. A dataset's format is "arrays" or
-- "tokens", and it has samples instead of parameters.

ALTER TABLE model_version ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE model_version ADD COLUMN samples INTEGER NOT NULL DEFAULT 0;

CREATE TABLE model_by_kind (
    team TEXT NOT NULL,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL COLLATE NOCASE,
    version INTEGER NOT NULL REFERENCES model_version (id),
    PRIMARY KEY (team, kind, name)
) STRICT, WITHOUT ROWID;
INSERT INTO model_by_kind (team, kind, name, version) SELECT team, 0, name, version FROM model;
DROP TABLE model;
ALTER TABLE model_by_kind RENAME TO model;
CREATE INDEX model_by_version ON model (version);

-- The dataset a job was submitted with.
ALTER TABLE job ADD COLUMN dataset_version INTEGER REFERENCES model_version (id) ON DELETE SET NULL;
ALTER TABLE job ADD COLUMN dataset_name TEXT;
CREATE INDEX job_by_dataset ON job (dataset_version) WHERE dataset_version IS NOT NULL;
