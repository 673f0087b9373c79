-- The outbox of callbacks gets its shape; nothing was ever written to the old one. One row for each end of a task.
-- IF NOT EXISTS is no SQL of SQLite: the column is looked up first.

ALTER TABLE {tasks} ADD COLUMN IF NOT EXISTS rerun INTEGER NOT NULL DEFAULT 0;

CREATE INDEX IF NOT EXISTS `{name}_created` ON {tasks} (created_at);

DROP VIEW IF EXISTS {owed_work};

DROP TABLE IF EXISTS {callbacks};

CREATE TABLE {callbacks} (
  task_id      TEXT NOT NULL,
  rerun        INTEGER NOT NULL,
  id           TEXT NOT NULL,
  attempt      INTEGER NOT NULL,
  queue        TEXT NULL,
  kind         TEXT NOT NULL,
  url          TEXT NULL,
  receiver     TEXT NOT NULL,
  body         TEXT NOT NULL,
  tries        INTEGER NOT NULL DEFAULT 0,
  failures     INTEGER NOT NULL DEFAULT 0,
  next_try_at  TEXT NULL,
  last_error   TEXT NULL,
  dead         INTEGER NOT NULL DEFAULT 0,
  created_at   TEXT NOT NULL,
  delivered_at TEXT NULL,
  PRIMARY KEY (task_id, rerun)
);

CREATE INDEX IF NOT EXISTS `{name}_callbacks_due` ON {callbacks} (next_try_at);

CREATE INDEX IF NOT EXISTS `{name}_callbacks_next` ON {callbacks} (queue, next_try_at, receiver);

CREATE INDEX IF NOT EXISTS `{name}_callbacks_dead` ON {callbacks} (dead, created_at);

CREATE VIEW {owed_work} AS
SELECT t.queue, 'task' AS kind, t.id FROM {tasks} t
  WHERE t.status IN ('pending', 'retrying') AND t.next_check_at <= {now}
UNION ALL
SELECT t.queue, 'task', t.id FROM {tasks} t LEFT JOIN {workers} w ON w.id = t.worker_id
  WHERE t.status = 'running' AND t.worker_id IS NOT NULL
    AND (t.handed_off = 1 OR w.id IS NULL OR w.expires_at <= {now})
UNION ALL
SELECT c.queue, 'callback', c.task_id FROM {callbacks} c WHERE c.next_try_at <= {now};
