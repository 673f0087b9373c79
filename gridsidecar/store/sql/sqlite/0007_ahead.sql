-- A running task that was claimed before there was a slot for it: nobody knows whether its handler has started.

ALTER TABLE {tasks} ADD COLUMN IF NOT EXISTS ahead INTEGER NOT NULL DEFAULT 0;
