-- The points of curves without the reports' documents: a curve is read whole to be averaged, and a point of
-- this table takes a tenth of its event.
CREATE TABLE curves (
    id      INTEGER PRIMARY KEY,
    task    TEXT NOT NULL,
    metric  TEXT NOT NULL,
    variant TEXT NOT NULL,
    UNIQUE (task, metric, variant)
);
CREATE TABLE points (
    curve     INTEGER NOT NULL,
    iter      INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    value     REAL,
    PRIMARY KEY (curve, iter)
) WITHOUT ROWID;

INSERT INTO curves (task, metric, variant)
    SELECT DISTINCT task, metric, variant FROM events WHERE type = 'training_stats_scalar';
INSERT INTO points
    SELECT
        (SELECT id FROM curves
            WHERE task = events.task AND metric = events.metric AND variant = events.variant),
        iter, timestamp, value
    FROM events WHERE type = 'training_stats_scalar';

CREATE TRIGGER point_added AFTER INSERT ON events WHEN new.type = 'training_stats_scalar' BEGIN
    INSERT INTO curves (task, metric, variant) VALUES (new.task, new.metric, new.variant)
        ON CONFLICT DO NOTHING;
    INSERT INTO points SELECT id, new.iter, new.timestamp, new.value FROM curves
        WHERE task = new.task AND metric = new.metric AND variant = new.variant;
END;
CREATE TRIGGER point_replaced AFTER UPDATE OF timestamp, value ON events
WHEN new.type = 'training_stats_scalar' BEGIN
    UPDATE points SET timestamp = new.timestamp, value = new.value WHERE iter = new.iter AND curve =
        (SELECT id FROM curves WHERE task = new.task AND metric = new.metric AND variant = new.variant);
END;
CREATE TRIGGER point_removed AFTER DELETE ON events WHEN old.type = 'training_stats_scalar' BEGIN
    DELETE FROM points WHERE iter = old.iter AND curve =
        (SELECT id FROM curves WHERE task = old.task AND metric = old.metric AND variant = old.variant);
    DELETE FROM curves WHERE task = old.task AND metric = old.metric AND variant = old.variant
        AND NOT EXISTS (SELECT 1 FROM points WHERE curve = curves.id);
END;
