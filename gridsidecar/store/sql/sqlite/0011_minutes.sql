-- What ended when and how, counted by the minute (since 1970, UTC): of each queue, type, outcome and error, and by how
-- long the attempt took, up to so many milliseconds; 0: there was none.

CREATE TABLE IF NOT EXISTS {minutes} (
  minute     INTEGER NOT NULL,
  queue      TEXT NOT NULL,
  task_type  TEXT NOT NULL,
  outcome    TEXT NOT NULL,
  error_type TEXT NOT NULL,
  up_to_ms   INTEGER NOT NULL,
  n          INTEGER NOT NULL,
  seconds    REAL NOT NULL,
  PRIMARY KEY (minute, queue, task_type, outcome, error_type, up_to_ms)
) WITHOUT ROWID;

-- So that tasks are listed in their order, and those of one type, or with one error, without reading the others.

CREATE INDEX IF NOT EXISTS `{name}_type` ON {tasks} (task_type, status, created_at, id);

CREATE INDEX IF NOT EXISTS `{name}_error` ON {tasks} (error_type, created_at, id) WHERE error_type IS NOT NULL;

CREATE INDEX IF NOT EXISTS `{name}_last_error` ON {tasks} (last_error_type, created_at, id)
  WHERE last_error_type IS NOT NULL;

DROP INDEX IF EXISTS `{name}_created`;

CREATE INDEX `{name}_created` ON {tasks} (created_at, id);

DROP INDEX IF EXISTS `{name}_status`;

CREATE INDEX `{name}_status` ON {tasks} (status, created_at, id);

DROP INDEX IF EXISTS `{name}_queue`;

CREATE INDEX `{name}_queue` ON {tasks} (queue, created_at, id);
