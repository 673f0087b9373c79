"""What happens on a clock tick, whatever the queue does; `rounds` is the clock. And what pauses a type of tasks."""
