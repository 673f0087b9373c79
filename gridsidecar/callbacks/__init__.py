"""Callbacks: telling whoever asked that a task has ended. The outbox is sent apart from the task slots."""
