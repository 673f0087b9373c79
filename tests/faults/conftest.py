"""The fixtures of the end-to-end tests, for sidecars among faults."""

from tests.e2e.conftest import any_place, embedded_place, place, start

__all__ = ["any_place", "embedded_place", "place", "start"]
