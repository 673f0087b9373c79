-- What a running attempt has said so far, in parts, each named by the byte at which it begins; and the worker's name in
-- the history. The bytes are as they came: cut anywhere, in whatever encoding.

ALTER TABLE {attempts} ADD COLUMN IF NOT EXISTS worker_name TEXT NULL;

CREATE TABLE IF NOT EXISTS {output} (
  task_id TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  start   INTEGER NOT NULL,
  said_at TEXT NOT NULL,
  bytes   BLOB NOT NULL,
  PRIMARY KEY (task_id, attempt, start)
);
