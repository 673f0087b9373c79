-- Cancelling and retrying many tasks: what was asked, of which tasks, and what came of each. `cancels` wakes a worker one
-- of whose running tasks is to be cancelled.

ALTER TABLE {workers} ADD COLUMN IF NOT EXISTS cancels BIGINT NOT NULL DEFAULT 0;

CREATE TABLE IF NOT EXISTS {operations} (
  id           VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  kind         VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  queue        VARCHAR(255) NOT NULL,
  asked        LONGTEXT NOT NULL,
  spread       DOUBLE NOT NULL DEFAULT 0,
  total        INT NOT NULL DEFAULT 0,
  collected    TINYINT NOT NULL DEFAULT 0,
  created_at   DATETIME(3) NOT NULL,
  driver       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  driven_until DATETIME(3) NOT NULL,
  ended_at     DATETIME(3) NULL,
  KEY ix_open (ended_at, driven_until)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS {operation_ids} (
  operation VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  position  INT NOT NULL,
  task_id   VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  outcome   VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NULL,
  PRIMARY KEY (operation, position),
  KEY ix_outcome (operation, outcome, position)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;
