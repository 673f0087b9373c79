-- Tables for MySQL 8+ and MariaDB 10.6+. Every statement can be run again: DDL is not transactional here.

CREATE TABLE IF NOT EXISTS {tasks} (
  id               VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
  task_type        VARCHAR(100) NOT NULL DEFAULT 'default',
  status           VARCHAR(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'pending',
  data             LONGTEXT NULL,
  result           LONGTEXT NULL,
  error_message    TEXT NULL,
  progress         INT NOT NULL DEFAULT 0,
  retry_count      INT NOT NULL DEFAULT 0,
  max_retry_count  INT NOT NULL DEFAULT 0,
  callback_url     VARCHAR(500) NULL,
  callback_type    VARCHAR(10) NOT NULL DEFAULT 'http',
  created_at       DATETIME(3) NOT NULL,
  updated_at       DATETIME(3) NOT NULL,
  started_at       DATETIME(3) NULL,
  completed_at     DATETIME(3) NULL,
  progress_message VARCHAR(1024) NULL,
  callback_data    LONGTEXT NULL,
  error_type       VARCHAR(255) NULL,
  last_error_type  VARCHAR(255) NULL,
  traceback        MEDIUMTEXT NULL,
  priority         INT NOT NULL DEFAULT 0,
  timeout          DOUBLE NULL,
  attempt          INT NOT NULL DEFAULT 0,
  crashes          INT NOT NULL DEFAULT 0,
  interruptions    INT NOT NULL DEFAULT 0,
  worker_id        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  message_id       VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  handed_off       TINYINT NOT NULL DEFAULT 0,
  next_run_at      DATETIME(3) NULL,
  next_check_at    DATETIME(3) NULL,
  cancel_requested TINYINT NOT NULL DEFAULT 0,
  checkpoint       LONGTEXT NULL,
  queue            VARCHAR(255) NULL,
  body             LONGBLOB NULL,
  headers          LONGTEXT NULL,
  rev              BIGINT NOT NULL DEFAULT 0,
  KEY ix_status (status, created_at),
  KEY ix_check (next_check_at)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS {attempts} (
  task_id       VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  attempt       INT NOT NULL,
  worker_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  started_at    DATETIME(3) NULL,
  ended_at      DATETIME(3) NOT NULL,
  outcome       VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  error_message TEXT NULL,
  error_type    VARCHAR(255) NULL,
  exit_code     INT NULL,
  signal_number INT NULL,
  cpu_seconds   DOUBLE NULL,
  peak_memory   BIGINT NULL,
  log_head      MEDIUMTEXT NULL,
  log_tail      MEDIUMTEXT NULL,
  log_dropped   BIGINT NOT NULL DEFAULT 0,
  stderr_tail   MEDIUMTEXT NULL,
  notes         TEXT NULL,
  PRIMARY KEY (task_id, attempt)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS {callbacks} (
  id              VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  task_id         VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  attempt         INT NOT NULL,
  kind            VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  target          VARCHAR(500) NOT NULL,
  body            LONGTEXT NOT NULL,
  tries           INT NOT NULL DEFAULT 0,
  next_try_at     DATETIME(3) NULL,
  claimed_by      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  claimed_until   DATETIME(3) NULL,
  last_error      TEXT NULL,
  dead            TINYINT NOT NULL DEFAULT 0,
  created_at      DATETIME(3) NOT NULL,
  KEY ix_due (next_try_at),
  KEY ix_task (task_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS {workers} (
  id         VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  name       VARCHAR(255) NOT NULL,
  queue      VARCHAR(255) NOT NULL,
  lease      DOUBLE NOT NULL,
  started_at DATETIME(3) NOT NULL,
  expires_at DATETIME(3) NOT NULL,
  KEY ix_expires (expires_at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE OR REPLACE VIEW {owed_work} AS
SELECT
  (SELECT COUNT(*) FROM {tasks} t
    WHERE t.status IN ('pending', 'retrying') AND t.next_check_at <= UTC_TIMESTAMP(3))
  + (SELECT COUNT(*) FROM {tasks} t LEFT JOIN {workers} w ON w.id = t.worker_id
    WHERE t.status = 'running' AND t.worker_id IS NOT NULL
      AND (t.handed_off = 1 OR w.id IS NULL OR w.expires_at <= UTC_TIMESTAMP(3)))
  + (SELECT COUNT(*) FROM {callbacks} c WHERE c.next_try_at <= UTC_TIMESTAMP(3) AND c.dead = 0)
  AS owed;
