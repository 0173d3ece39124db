-- How many events of each type a task has: counting a million takes longer than the page that is asked for.

CREATE TABLE event_counts (
    task   TEXT NOT NULL,
    type   TEXT NOT NULL,
    stored INTEGER NOT NULL,
    PRIMARY KEY (task, type)
) WITHOUT ROWID;

INSERT INTO event_counts SELECT task, type, count(*) FROM events GROUP BY task, type;

-- A report that replaces an earlier one is an update, and changes no count.
CREATE TRIGGER events_counted AFTER INSERT ON events BEGIN
    INSERT INTO event_counts VALUES (new.task, new.type, 1)
        ON CONFLICT (task, type) DO UPDATE SET stored = stored + 1;
END;
CREATE TRIGGER events_discounted AFTER DELETE ON events BEGIN
    UPDATE event_counts SET stored = stored - 1 WHERE task = old.task AND type = old.type;
    DELETE FROM event_counts WHERE task = old.task AND type = old.type AND stored = 0;
END;

CREATE INDEX tasks_last_update ON tasks (last_update);
CREATE INDEX tasks_type ON tasks (type);
