-- What the page's lists filter and sort by. One index covers it, so that a list of thousands of tasks reads no
-- whole document.
ALTER TABLE tasks ADD COLUMN system_tags TEXT AS (json_extract(doc, '$.system_tags'));
ALTER TABLE tasks ADD COLUMN tags TEXT AS (json_extract(doc, '$.tags'));
ALTER TABLE tasks ADD COLUMN started TEXT AS (json_extract(doc, '$.started'));
ALTER TABLE tasks ADD COLUMN ended TEXT AS (json_extract(doc, '$.completed'));

CREATE INDEX tasks_listed
    ON tasks (type, status, project, name, system_tags, tags, started, ended, last_update);
