-- So that the tasks of one queue are counted by type and state without reading those of others.

CREATE INDEX IF NOT EXISTS `{name}_queue_type` ON {tasks} (queue, task_type, status, created_at);
