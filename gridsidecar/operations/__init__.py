"""What is done with tasks and told of them, once for commands, the HTTP API and workers."""
