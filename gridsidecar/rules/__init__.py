"""The rules of a task's life, pure: values in, values out. No I/O, no clock, no chance."""
