"""What can be said when something fails."""

from __future__ import annotations

import unittest
from datetime import timedelta

from gridsidecar_sdk import Permanent, Retry
from gridsidecar_sdk.errors import error_event


class Errors(unittest.TestCase):
    def test_defer(self) -> None:
        self.assertEqual(error_event(Retry(defer=timedelta(minutes=2)))["retry_after_s"], 120)
        for wrong in (-1, float("nan"), float("inf")):
            with self.assertRaises(ValueError):
                Retry(defer=wrong)

    def test_without_words(self) -> None:
        self.assertEqual(error_event(Permanent())["error"], "the handler gave the task up")
        self.assertEqual(error_event(KeyError())["error"], "KeyError")

    def test_a_text_that_cannot_be_read(self) -> None:
        class Odd(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        self.assertIn("cannot be read", error_event(Odd())["error"])


if __name__ == "__main__":
    unittest.main()
