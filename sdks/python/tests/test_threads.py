"""Stops of functions in threads, at any moment."""

from __future__ import annotations

import asyncio
import random
import sys
import unittest
from unittest import mock

from gridsidecar_sdk.errors import Stopped
from gridsidecar_sdk.threads import Stoppable, in_thread

TRIES = 3000


def count_to(number: int) -> int:
    found = 0
    for n in range(number):
        found = n
    return found


class AStop(unittest.TestCase):
    def test_at_the_moment_of_the_end_it_loses_no_task(self) -> None:
        """Whatever the thread does then, the task has an end, and the thread has told of it."""
        escaped: list[object] = []
        rng = random.Random(1)
        ends = {"well": 0, "stopped": 0}

        async def one() -> None:
            task = asyncio.ensure_future(in_thread(count_to, rng.randrange(2000)))
            await asyncio.sleep(0)
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=10)
            self.assertTrue(done, "it hangs")
            if not task.cancelled() and task.exception() is None:
                ends["well"] += 1
            else:
                self.assertTrue(task.cancelled() or isinstance(task.exception(), Stopped))
                ends["stopped"] += 1

        async def all_of_them() -> None:
            for _ in range(TRIES):
                await one()

        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with mock.patch("threading.excepthook", lambda args: escaped.append(args.exc_type)):
                asyncio.run(all_of_them())
        finally:
            sys.setswitchinterval(before)
        self.assertEqual(escaped, [])
        self.assertEqual(sum(ends.values()), TRIES)
        self.assertGreater(min(ends.values()), 0, ends)

    def test_before_the_beginning_it_keeps_it_from_that(self) -> None:
        call = Stoppable()
        call.stop()
        with self.assertRaises(Stopped):
            call.run(self.fail, "it ran")

    def test_after_the_end_it_is_raised_nowhere(self) -> None:
        call = Stoppable()
        self.assertEqual(call.run(count_to, 10), 9)
        call.stop()
        self.assertEqual(count_to(10_000), 9999)
