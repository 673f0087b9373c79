"""What happens on a delivery, from the queue to its ack; `consumer` is the one place that sees all of it."""
