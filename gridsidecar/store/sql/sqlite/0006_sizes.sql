-- How large a callback's body is, without reading it: about so many characters, 0 where an older version wrote it.

ALTER TABLE {callbacks} ADD COLUMN IF NOT EXISTS size INTEGER NOT NULL DEFAULT 0;

-- A row that maintenance has just looked at, and will look at again at a later time, is not owed until then.

DROP VIEW IF EXISTS {owed_work};

CREATE VIEW {owed_work} AS
SELECT t.queue, 'task' AS kind, t.id FROM {tasks} t
  WHERE t.status IN ('pending', 'retrying') AND t.next_check_at <= {now}
UNION ALL
SELECT t.queue, 'task', t.id FROM {tasks} t LEFT JOIN {workers} w ON w.id = t.worker_id
  WHERE t.status = 'running' AND t.worker_id IS NOT NULL
    AND (t.handed_off = 1 OR w.id IS NULL OR w.expires_at <= {now})
    AND (t.next_check_at IS NULL OR t.next_check_at <= {now})
UNION ALL
SELECT c.queue, 'callback', c.task_id FROM {callbacks} c WHERE c.next_try_at <= {now};
