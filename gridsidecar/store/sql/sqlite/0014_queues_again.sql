-- The index of 0013 cost each task more than it was worth: see how the tasks of one queue are counted.

DROP INDEX IF EXISTS `{name}_queue_type`;
