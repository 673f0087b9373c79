-- What a running attempt has said so far, in parts; and the worker's host and process, for people.

ALTER TABLE {attempts} ADD COLUMN IF NOT EXISTS worker_name VARCHAR(255) NULL;

CREATE TABLE IF NOT EXISTS {output} (
  task_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  attempt INT NOT NULL,
  part    INT NOT NULL,
  said_at DATETIME(3) NOT NULL,
  text    MEDIUMTEXT NOT NULL,
  PRIMARY KEY (task_id, attempt, part)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4;
