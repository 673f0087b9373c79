"""Figures: for Prometheus, as plain numbers that add up over processes, and of a run, as a line of its log."""
