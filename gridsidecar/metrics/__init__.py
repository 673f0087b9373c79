"""Figures for Prometheus: kept as plain numbers, added up over processes, and written out when somebody asks."""
