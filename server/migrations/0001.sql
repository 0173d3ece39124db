-- Documents are JSON; the columns that queries filter and sort by are generated from the document,
-- so that a column can never disagree with it.

CREATE TABLE IF NOT EXISTS projects (
    id          TEXT PRIMARY KEY,
    doc         TEXT NOT NULL,
    name        TEXT AS (json_extract(doc, '$.name')),
    parent      TEXT AS (json_extract(doc, '$.parent'))
);
CREATE UNIQUE INDEX IF NOT EXISTS projects_name ON projects (name);
CREATE INDEX IF NOT EXISTS projects_parent ON projects (parent);

CREATE TABLE IF NOT EXISTS tasks (
    id                TEXT PRIMARY KEY,
    doc               TEXT NOT NULL,
    name              TEXT AS (json_extract(doc, '$.name')),
    project           TEXT AS (json_extract(doc, '$.project')),
    parent            TEXT AS (json_extract(doc, '$.parent')),
    status            TEXT AS (json_extract(doc, '$.status')),
    type              TEXT AS (json_extract(doc, '$.type')),
    last_update       TEXT AS (json_extract(doc, '$.last_update')),
    pipeline_job_hash TEXT AS (json_extract(doc, '$.runtime.pipeline_job_hash'))
);
CREATE INDEX IF NOT EXISTS tasks_name ON tasks (name);
CREATE INDEX IF NOT EXISTS tasks_project ON tasks (project, last_update);
CREATE INDEX IF NOT EXISTS tasks_parent ON tasks (parent);
CREATE INDEX IF NOT EXISTS tasks_status ON tasks (status);
CREATE INDEX IF NOT EXISTS tasks_pipeline_job_hash ON tasks (pipeline_job_hash);

CREATE TABLE IF NOT EXISTS models (
    id      TEXT PRIMARY KEY,
    doc     TEXT NOT NULL,
    name    TEXT AS (json_extract(doc, '$.name')),
    project TEXT AS (json_extract(doc, '$.project')),
    task    TEXT AS (json_extract(doc, '$.task'))
);
CREATE INDEX IF NOT EXISTS models_project ON models (project);
CREATE INDEX IF NOT EXISTS models_task ON models (task);

CREATE TABLE IF NOT EXISTS queues (
    id   TEXT PRIMARY KEY,
    doc  TEXT NOT NULL,
    name TEXT AS (json_extract(doc, '$.name'))
);
CREATE UNIQUE INDEX IF NOT EXISTS queues_name ON queues (name);

CREATE TABLE IF NOT EXISTS entries (
    queue    TEXT NOT NULL,
    task     TEXT NOT NULL UNIQUE,
    position REAL NOT NULL,
    added    TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_queue ON entries (queue, position);

CREATE TABLE IF NOT EXISTS workers (
    id  TEXT PRIMARY KEY,
    doc TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS preferences (
    user TEXT PRIMARY KEY,
    doc  TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS events (
    number    INTEGER PRIMARY KEY,
    task      TEXT NOT NULL,
    type      TEXT NOT NULL,
    metric    TEXT NOT NULL DEFAULT '',
    variant   TEXT NOT NULL DEFAULT '',
    iter      INTEGER NOT NULL DEFAULT 0,
    timestamp INTEGER NOT NULL,
    value     REAL,
    doc       TEXT NOT NULL
);
-- A report of the same metric, variant and iteration replaces the earlier one; log lines only append.
CREATE UNIQUE INDEX IF NOT EXISTS events_key ON events (task, type, metric, variant, iter) WHERE type <> 'log';
CREATE INDEX IF NOT EXISTS events_time ON events (task, type, timestamp, number);
