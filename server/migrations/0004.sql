-- What the statistics of queues and workers are made of, kept for 30 days. Times in seconds since the epoch.

-- The length of a queue and the mean time that its tasks have waited, after every change.
CREATE TABLE queue_history (
    queue   TEXT NOT NULL,
    time    REAL NOT NULL,
    length  INTEGER NOT NULL,
    waiting REAL NOT NULL
);
CREATE INDEX queue_history_time ON queue_history (time);

CREATE VIEW queue_states AS
    SELECT queues.id AS queue, now.time AS time, count(entries.task) AS length,
        coalesce(avg(now.time - (julianday(entries.added) - 2440587.5) * 86400), 0) AS waiting
    FROM queues, (SELECT (julianday('now') - 2440587.5) * 86400 AS time) AS now
    LEFT JOIN entries ON entries.queue = queues.id
    GROUP BY queues.id;

CREATE TRIGGER entries_added AFTER INSERT ON entries BEGIN
    INSERT INTO queue_history SELECT queue, time, length, waiting FROM queue_states WHERE queue = new.queue;
    DELETE FROM queue_history WHERE time < (julianday('now') - 2440587.5 - 30) * 86400;
END;
CREATE TRIGGER entries_removed AFTER DELETE ON entries BEGIN
    INSERT INTO queue_history SELECT queue, time, length, waiting FROM queue_states WHERE queue = old.queue;
END;
CREATE TRIGGER queues_removed AFTER DELETE ON queues BEGIN
    DELETE FROM queue_history WHERE queue = old.id;
END;

-- Every status report of a worker: the task it was running, and JSON: metric -> number, or one per core or GPU.
CREATE TABLE worker_reports (
    worker TEXT NOT NULL,
    time   REAL NOT NULL,
    task   TEXT,
    stats  TEXT
);
CREATE INDEX worker_reports_time ON worker_reports (time);

CREATE TRIGGER worker_reported AFTER INSERT ON worker_reports BEGIN
    DELETE FROM worker_reports WHERE time < (julianday('now') - 2440587.5 - 30) * 86400;
END;
