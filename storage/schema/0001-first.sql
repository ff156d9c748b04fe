-- The first schema. Times are milliseconds since 1970 UTC; digests are lower-case hex SHA-256; a team is
-- its name. A file of this folder is never edited once it was released: write the next number.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Content-addressed files. Unreferenced and past its lease: swept.
CREATE TABLE blob (
    digest TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    lease_until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_by_lease ON blob (lease_until_ms);

-- Which team may name a digest: only one that has had the bytes in its hands.
CREATE TABLE team_blob (
    team TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES blob (digest) ON DELETE CASCADE,
    since_ms INTEGER NOT NULL,
    PRIMARY KEY (team, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX team_blob_by_digest ON team_blob (digest);

-- An immutable list of files, and what inspection found in them.
CREATE TABLE model_version (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    team TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    lone INTEGER NOT NULL,
    format TEXT NOT NULL,
    architecture TEXT NOT NULL,
    parameters INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    inspection TEXT NOT NULL,
    files_digest TEXT NOT NULL
) STRICT;

CREATE TABLE model_file (
    version INTEGER NOT NULL REFERENCES model_version (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES blob (digest),
    bytes INTEGER NOT NULL,
    PRIMARY KEY (version, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX model_file_by_digest ON model_file (digest);

-- Names point to versions.
CREATE TABLE model (
    team TEXT NOT NULL,
    name TEXT NOT NULL COLLATE NOCASE,
    version INTEGER NOT NULL REFERENCES model_version (id),
    PRIMARY KEY (team, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX model_by_version ON model (version);

CREATE TABLE job (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    team TEXT NOT NULL,
    name TEXT,
    state TEXT NOT NULL,
    revision INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    claim_key INTEGER NOT NULL, -- queued_ms - 10 min x priority: smallest goes first, so waiting ages
    attempt INTEGER NOT NULL,
    model_version INTEGER REFERENCES model_version (id) ON DELETE SET NULL,
    model_name TEXT NOT NULL,
    recipe_name TEXT NOT NULL,
    recipe_json TEXT NOT NULL,
    recipe_digest TEXT NOT NULL,
    labels_json TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    queued_ms INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER NOT NULL,
    peak_bytes INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    progress_json TEXT,
    problem_json TEXT,
    summary_json TEXT,
    artifact_bytes INTEGER NOT NULL,
    artifact_sha256 TEXT,
    artifact_files INTEGER NOT NULL,
    artifact_lone INTEGER NOT NULL,
    suspect INTEGER NOT NULL,
    deaths INTEGER NOT NULL,
    stage_died INTEGER NOT NULL
) STRICT;
CREATE INDEX job_claim ON job (suspect, claim_key, n) WHERE state = 'queued';
CREATE INDEX job_active ON job (state) WHERE state IN ('running', 'cancelling');
CREATE INDEX job_by_team ON job (team, n);
CREATE INDEX job_by_version ON job (model_version) WHERE model_version IS NOT NULL;

CREATE TABLE job_label (
    job INTEGER NOT NULL REFERENCES job (n) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (job, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_label_by_value ON job_label (key, value, job);

CREATE TABLE job_report (
    job INTEGER PRIMARY KEY REFERENCES job (n) ON DELETE CASCADE,
    report TEXT NOT NULL
) STRICT;

CREATE TABLE job_file (
    job INTEGER NOT NULL REFERENCES job (n) ON DELETE CASCADE,
    path TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES blob (digest),
    bytes INTEGER NOT NULL,
    PRIMARY KEY (job, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_file_by_digest ON job_file (digest);

-- What happened to jobs. Ids grow in commit order because there is one writer.
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL REFERENCES job (n) ON DELETE CASCADE,
    type TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_job ON event (job, id);

-- Where rows of a job's stream were thinned away: everything of that kind up to this id may be missing.
CREATE TABLE event_gap (
    job INTEGER PRIMARY KEY REFERENCES job (n) ON DELETE CASCADE,
    up_to_id INTEGER NOT NULL
) STRICT;
