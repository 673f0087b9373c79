-- So that each receiver's next callback is found without reading those of the others.

ALTER TABLE {callbacks} ADD KEY IF NOT EXISTS ix_receiver (receiver, queue, next_try_at);
