"""What the sidecar is measured beside: amqp-consume, Celery and Dramatiq on the same servers with the same work."""
