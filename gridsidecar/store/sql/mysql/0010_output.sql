-- What a running attempt has said so far, in parts, each named by the byte at which it begins; and the worker's name in
-- the history. The bytes are as they came: cut anywhere, in whatever encoding.

ALTER TABLE {attempts} ADD COLUMN IF NOT EXISTS worker_name VARCHAR(255) NULL;

CREATE TABLE IF NOT EXISTS {output} (
  task_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  attempt INT NOT NULL,
  start   BIGINT NOT NULL,
  said_at DATETIME(3) NOT NULL,
  bytes   MEDIUMBLOB NOT NULL,
  PRIMARY KEY (task_id, attempt, start)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;
