-- So that the tasks of one queue are counted by type and state without reading those of others.

ALTER TABLE {tasks} ADD KEY IF NOT EXISTS ix_queue_type (queue, task_type(100), status, created_at);
