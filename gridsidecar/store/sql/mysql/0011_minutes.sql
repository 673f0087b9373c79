-- What ended when and how, counted by the minute (since 1970, UTC): of each queue, type, outcome and error, and by how
-- long the attempt took, up to so many milliseconds; 0: there was none.

CREATE TABLE IF NOT EXISTS {minutes} (
  minute     BIGINT NOT NULL,
  queue      VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  task_type  VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  outcome    VARCHAR(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  error_type VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  up_to_ms   BIGINT NOT NULL,
  n          BIGINT NOT NULL,
  seconds    DOUBLE NOT NULL,
  PRIMARY KEY (minute, queue, task_type, outcome, error_type, up_to_ms)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;

-- So that tasks of one type, or with one error, are listed without reading the others. An adopted column may be longer
-- than an index takes.

ALTER TABLE {tasks} ADD KEY IF NOT EXISTS ix_type (task_type(100), status, created_at);

ALTER TABLE {tasks} ADD KEY IF NOT EXISTS ix_error (error_type(255), created_at);

ALTER TABLE {tasks} ADD KEY IF NOT EXISTS ix_last_error (last_error_type(255), created_at);
