-- Task types that are paused, and until when; what a type's rate limit has given away. `reserved`: the row's next run has
-- its place in the rate already.

ALTER TABLE {tasks} ADD COLUMN IF NOT EXISTS reserved TINYINT NOT NULL DEFAULT 0;

CREATE TABLE IF NOT EXISTS {pauses} (
  queue     VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  task_type VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  since     DATETIME(3) NOT NULL,
  until     DATETIME(3) NULL,
  breaker   TINYINT NOT NULL DEFAULT 0,
  probe     VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  reason    VARCHAR(1000) NULL,
  PRIMARY KEY (queue, task_type)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS {rates} (
  queue   VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  handler VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  free_at DATETIME(6) NOT NULL,
  PRIMARY KEY (queue, handler)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;
