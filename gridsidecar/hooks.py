"""Hooks: commands of the user at the start and end of the worker and of each attempt."""
