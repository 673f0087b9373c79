"""Measurements that the project holds itself to: ratios in one run on one machine, never bare numbers."""
