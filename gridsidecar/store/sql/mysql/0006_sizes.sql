-- How large a callback's body is, without reading it: about so many characters, 0 where an older version wrote it.

ALTER TABLE {callbacks} ADD COLUMN IF NOT EXISTS size INT NOT NULL DEFAULT 0;

-- A row that maintenance has just looked at, and will look at again at a later time, is not owed until then.

CREATE OR REPLACE VIEW {owed_work} AS
SELECT CONVERT(t.queue USING utf8mb4) COLLATE utf8mb4_bin AS queue, 'task' AS kind, t.id FROM {tasks} t
  WHERE t.status IN ('pending', 'retrying') AND t.next_check_at <= UTC_TIMESTAMP(3)
UNION ALL
SELECT CONVERT(t.queue USING utf8mb4) COLLATE utf8mb4_bin, 'task', t.id
  FROM {tasks} t LEFT JOIN {workers} w ON w.id = t.worker_id
  WHERE t.status = 'running' AND t.worker_id IS NOT NULL
    AND (t.handed_off = 1 OR w.id IS NULL OR w.expires_at <= UTC_TIMESTAMP(3))
    AND (t.next_check_at IS NULL OR t.next_check_at <= UTC_TIMESTAMP(3))
UNION ALL
SELECT CONVERT(c.queue USING utf8mb4) COLLATE utf8mb4_bin, 'callback', CONVERT(c.task_id USING utf8mb4) COLLATE utf8mb4_bin
  FROM {callbacks} c WHERE c.next_try_at <= UTC_TIMESTAMP(3);
