"""The places and sidecars of the end-to-end tests, for faults that are made on purpose."""

from tests.e2e.conftest import any_place, embedded_place, place, start

__all__ = ["any_place", "embedded_place", "place", "start"]
