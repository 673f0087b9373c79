-- So that each receiver's next callback is found without reading those of the others.

CREATE INDEX IF NOT EXISTS `{name}_callbacks_receiver` ON {callbacks} (receiver, queue, next_try_at)
  WHERE next_try_at IS NOT NULL;
