-- The outbox of callbacks gets its shape; nothing was ever written to the old one. One row for each end of a task.
-- ADD … IF NOT EXISTS is no SQL of MySQL: columns and keys are looked up first.

ALTER TABLE {tasks} ADD COLUMN IF NOT EXISTS rerun INT NOT NULL DEFAULT 0;

ALTER TABLE {tasks} ADD KEY IF NOT EXISTS ix_created (created_at);

DROP TABLE IF EXISTS {callbacks};

CREATE TABLE {callbacks} (
  task_id      VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  rerun        INT NOT NULL,
  id           VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  attempt      INT NOT NULL,
  queue        VARCHAR(255) NULL,
  kind         VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  url          VARCHAR(500) NULL,
  receiver     VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  body         LONGTEXT NOT NULL,
  tries        INT NOT NULL DEFAULT 0,
  failures     INT NOT NULL DEFAULT 0,
  next_try_at  DATETIME(3) NULL,
  last_error   TEXT NULL,
  dead         TINYINT NOT NULL DEFAULT 0,
  created_at   DATETIME(3) NOT NULL,
  delivered_at DATETIME(3) NULL,
  PRIMARY KEY (task_id, rerun),
  KEY ix_due (next_try_at),
  KEY ix_next (queue, next_try_at, receiver),
  KEY ix_dead (dead, created_at)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;

CREATE OR REPLACE VIEW {owed_work} AS
SELECT t.queue, 'task' AS kind, t.id FROM {tasks} t
  WHERE t.status IN ('pending', 'retrying') AND t.next_check_at <= UTC_TIMESTAMP(3)
UNION ALL
SELECT t.queue, 'task', t.id FROM {tasks} t LEFT JOIN {workers} w ON w.id = t.worker_id
  WHERE t.status = 'running' AND t.worker_id IS NOT NULL
    AND (t.handed_off = 1 OR w.id IS NULL OR w.expires_at <= UTC_TIMESTAMP(3))
UNION ALL
SELECT c.queue, 'callback', c.task_id FROM {callbacks} c WHERE c.next_try_at <= UTC_TIMESTAMP(3);
