-- What each worker is: the version of its program, and how many tasks it runs at once. NULL where an older one wrote it.

ALTER TABLE {workers} ADD COLUMN IF NOT EXISTS version TEXT NULL;

ALTER TABLE {workers} ADD COLUMN IF NOT EXISTS concurrency INTEGER NULL;
