-- What a running attempt has said so far, in parts; and the worker's host and process, for people.

ALTER TABLE {attempts} ADD COLUMN IF NOT EXISTS worker_name TEXT NULL;

CREATE TABLE IF NOT EXISTS {output} (
  task_id TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  part    INTEGER NOT NULL,
  said_at TEXT NOT NULL,
  text    TEXT NOT NULL,
  PRIMARY KEY (task_id, attempt, part)
);
