-- So that tasks that ended long ago are found without reading all the others.

CREATE INDEX IF NOT EXISTS `{name}_queue` ON {tasks} (queue, created_at);
