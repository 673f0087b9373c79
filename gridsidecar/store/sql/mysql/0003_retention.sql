-- So that tasks that ended long ago are found without reading all the others.

ALTER TABLE {tasks} ADD KEY IF NOT EXISTS ix_queue (queue, created_at);
