-- Cancelling and retrying many tasks: what was asked, of which tasks, and what came of each. `cancels` wakes a worker one
-- of whose running tasks is to be cancelled.

ALTER TABLE {workers} ADD COLUMN IF NOT EXISTS cancels INTEGER NOT NULL DEFAULT 0;

CREATE TABLE IF NOT EXISTS {operations} (
  id           TEXT NOT NULL PRIMARY KEY,
  kind         TEXT NOT NULL,
  queue        TEXT NOT NULL,
  asked        TEXT NOT NULL,
  spread       REAL NOT NULL DEFAULT 0,
  total        INTEGER NOT NULL DEFAULT 0,
  collected    INTEGER NOT NULL DEFAULT 0,
  created_at   TEXT NOT NULL,
  driver       TEXT NOT NULL,
  driven_until TEXT NOT NULL,
  ended_at     TEXT NULL
);

CREATE TABLE IF NOT EXISTS {operation_ids} (
  operation TEXT NOT NULL,
  position  INTEGER NOT NULL,
  task_id   TEXT NOT NULL,
  outcome   TEXT NULL,
  PRIMARY KEY (operation, position)
);

CREATE INDEX IF NOT EXISTS `{name}_operation_outcome` ON {operation_ids} (operation, outcome, position);
