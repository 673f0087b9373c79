-- What each worker is: the version of its program, and how many tasks it runs at once. NULL where an older one wrote it.

ALTER TABLE {workers} ADD COLUMN IF NOT EXISTS version VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL;

ALTER TABLE {workers} ADD COLUMN IF NOT EXISTS concurrency INT NULL;
