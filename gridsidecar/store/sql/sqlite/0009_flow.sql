-- Task types that are paused, and until when; what a type's rate limit has given away. `reserved`: the row's next run has
-- its place in the rate already.

ALTER TABLE {tasks} ADD COLUMN IF NOT EXISTS reserved INTEGER NOT NULL DEFAULT 0;

CREATE TABLE IF NOT EXISTS {pauses} (
  queue     TEXT NOT NULL,
  task_type TEXT NOT NULL,
  since     TEXT NOT NULL,
  until     TEXT NULL,
  breaker   INTEGER NOT NULL DEFAULT 0,
  probe     TEXT NULL,
  reason    TEXT NULL,
  PRIMARY KEY (queue, task_type)
);

CREATE TABLE IF NOT EXISTS {rates} (
  queue   TEXT NOT NULL,
  handler TEXT NOT NULL,
  free_at TEXT NOT NULL,
  PRIMARY KEY (queue, handler)
);
