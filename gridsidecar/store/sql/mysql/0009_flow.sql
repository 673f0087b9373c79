-- Task types that are paused, and until when; `cool_down`: a breaker paused it. What it keeps from its start is parked: to
-- be looked for in centuries, between parked_from and parked_to. Of a rate limit, the place that is given away next,
-- and when the next start is due by those that were; `reserved`: the row's next run has its place.

ALTER TABLE {tasks} ADD COLUMN IF NOT EXISTS reserved TINYINT NOT NULL DEFAULT 0;

CREATE TABLE IF NOT EXISTS {pauses} (
  queue     VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  task_type VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  since     DATETIME(3) NOT NULL,
  until     DATETIME(3) NULL,
  cool_down DOUBLE NULL,
  probe     VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  reason    VARCHAR(1000) NULL,
  parked_from DATETIME(3) NOT NULL,
  parked_to   DATETIME(3) NOT NULL,
  PRIMARY KEY (queue, task_type)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS {rates} (
  queue   VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  handler VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  free_at DATETIME(6) NOT NULL,
  paced_at DATETIME(6) NOT NULL,
  PRIMARY KEY (queue, handler)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;

-- What was parked is owed when its type may run again.

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
SELECT p.queue, 'task', t.id FROM {pauses} p STRAIGHT_JOIN {tasks} t FORCE INDEX (ix_check)
  ON t.next_check_at >= p.parked_from AND t.next_check_at < p.parked_to
  WHERE p.until <= UTC_TIMESTAMP(3) AND t.status IN ('pending', 'retrying') AND t.next_run_at <= UTC_TIMESTAMP(3)
    AND CONVERT(t.task_type USING utf8mb4) COLLATE utf8mb4_bin = p.task_type
    AND CONVERT(t.queue USING utf8mb4) COLLATE utf8mb4_bin = p.queue
UNION ALL
SELECT CONVERT(c.queue USING utf8mb4) COLLATE utf8mb4_bin, 'callback', CONVERT(c.task_id USING utf8mb4) COLLATE utf8mb4_bin
  FROM {callbacks} c WHERE c.next_try_at <= UTC_TIMESTAMP(3);
