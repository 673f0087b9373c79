-- Task types that are paused, and until when; `cool_down`: a breaker paused it. What it keeps from its start is parked: to
-- be looked for in centuries, between parked_from and parked_to. Of a rate limit, the place that is given away next,
-- and when the next start is due by those that were; `reserved`: the row's next run has its place.

ALTER TABLE {tasks} ADD COLUMN IF NOT EXISTS reserved INTEGER NOT NULL DEFAULT 0;

CREATE TABLE IF NOT EXISTS {pauses} (
  queue     TEXT NOT NULL,
  task_type TEXT NOT NULL,
  since     TEXT NOT NULL,
  until     TEXT NULL,
  cool_down REAL NULL,
  probe     TEXT NULL,
  reason    TEXT NULL,
  parked_from TEXT NOT NULL,
  parked_to   TEXT NOT NULL,
  PRIMARY KEY (queue, task_type)
);

CREATE TABLE IF NOT EXISTS {rates} (
  queue   TEXT NOT NULL,
  handler TEXT NOT NULL,
  free_at REAL NOT NULL,
  paced_at REAL NOT NULL,
  PRIMARY KEY (queue, handler)
);

-- What was parked is owed when its type may run again.

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
SELECT p.queue, 'task', t.id FROM {pauses} p CROSS JOIN {tasks} t
  WHERE p.until <= {now} AND t.next_check_at >= p.parked_from AND t.next_check_at < p.parked_to
    AND +t.status IN ('pending', 'retrying') AND t.next_run_at <= {now} AND +t.task_type = p.task_type
    AND +t.queue = p.queue
UNION ALL
SELECT c.queue, 'callback', c.task_id FROM {callbacks} c WHERE c.next_try_at <= {now};
