-- Tables for SQLite; times are UTC text with milliseconds, which sorts and compares as such.

CREATE TABLE IF NOT EXISTS {tasks} (
  id               TEXT NOT NULL PRIMARY KEY,
  task_type        TEXT NOT NULL DEFAULT 'default',
  status           TEXT NOT NULL DEFAULT 'pending',
  data             TEXT NULL,
  result           TEXT NULL,
  error_message    TEXT NULL,
  progress         INTEGER NOT NULL DEFAULT 0,
  retry_count      INTEGER NOT NULL DEFAULT 0,
  max_retry_count  INTEGER NOT NULL DEFAULT 0,
  callback_url     TEXT NULL,
  callback_type    TEXT NOT NULL DEFAULT 'http',
  created_at       TEXT NOT NULL,
  updated_at       TEXT NOT NULL,
  started_at       TEXT NULL,
  completed_at     TEXT NULL,
  progress_message TEXT NULL,
  callback_data    TEXT NULL,
  error_type       TEXT NULL,
  last_error_type  TEXT NULL,
  traceback        TEXT NULL,
  priority         INTEGER NOT NULL DEFAULT 0,
  timeout          REAL NULL,
  attempt          INTEGER NOT NULL DEFAULT 0,
  crashes          INTEGER NOT NULL DEFAULT 0,
  interruptions    INTEGER NOT NULL DEFAULT 0,
  worker_id        TEXT NULL,
  message_id       TEXT NULL,
  handed_off       INTEGER NOT NULL DEFAULT 0,
  next_run_at      TEXT NULL,
  next_check_at    TEXT NULL,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  checkpoint       TEXT NULL,
  queue            TEXT NULL,
  body             BLOB NULL,
  headers          TEXT NULL,
  rev              INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX IF NOT EXISTS `{name}_status` ON {tasks} (status, created_at);
CREATE INDEX IF NOT EXISTS `{name}_check` ON {tasks} (next_check_at);

CREATE TABLE IF NOT EXISTS {attempts} (
  task_id       TEXT NOT NULL,
  attempt       INTEGER NOT NULL,
  worker_id     TEXT NULL,
  started_at    TEXT NULL,
  ended_at      TEXT NOT NULL,
  outcome       TEXT NOT NULL,
  error_message TEXT NULL,
  error_type    TEXT NULL,
  exit_code     INTEGER NULL,
  signal_number INTEGER NULL,
  cpu_seconds   REAL NULL,
  peak_memory   INTEGER NULL,
  log_head      TEXT NULL,
  log_tail      TEXT NULL,
  log_dropped   INTEGER NOT NULL DEFAULT 0,
  stderr_tail   TEXT NULL,
  notes         TEXT NULL,
  PRIMARY KEY (task_id, attempt)
);

CREATE TABLE IF NOT EXISTS {callbacks} (
  id              TEXT NOT NULL PRIMARY KEY,
  task_id         TEXT NOT NULL,
  attempt         INTEGER NOT NULL,
  kind            TEXT NOT NULL,
  target          TEXT NOT NULL,
  body            TEXT NOT NULL,
  tries           INTEGER NOT NULL DEFAULT 0,
  next_try_at     TEXT NULL,
  claimed_by      TEXT NULL,
  claimed_until   TEXT NULL,
  last_error      TEXT NULL,
  dead            INTEGER NOT NULL DEFAULT 0,
  created_at      TEXT NOT NULL
);

CREATE INDEX IF NOT EXISTS `{name}_callbacks_due` ON {callbacks} (next_try_at);
CREATE INDEX IF NOT EXISTS `{name}_callbacks_task` ON {callbacks} (task_id);

CREATE TABLE IF NOT EXISTS {workers} (
  id         TEXT NOT NULL PRIMARY KEY,
  name       TEXT NOT NULL,
  queue      TEXT NOT NULL,
  lease      REAL NOT NULL,
  started_at TEXT NOT NULL,
  expires_at TEXT NOT NULL
);

CREATE VIEW IF NOT EXISTS {owed_work} AS
SELECT
  (SELECT COUNT(*) FROM {tasks} t
    WHERE t.status IN ('pending', 'retrying') AND t.next_check_at <= {now})
  + (SELECT COUNT(*) FROM {tasks} t LEFT JOIN {workers} w ON w.id = t.worker_id
    WHERE t.status = 'running' AND t.worker_id IS NOT NULL
      AND (t.handed_off = 1 OR w.id IS NULL OR w.expires_at <= {now}))
  + (SELECT COUNT(*) FROM {callbacks} c WHERE c.next_try_at <= {now} AND c.dead = 0)
  AS owed;
