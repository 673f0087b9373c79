"""What functions say, and what of it reaches the sidecar."""

from __future__ import annotations

import unittest

from tests.conversation import one


def said(call: str, *arguments: object) -> list:
    return one("say", {"call": call, "with": list(arguments)})[:-2]


class Progress(unittest.TestCase):
    def test_its_forms(self) -> None:
        for arguments, wanted in (
            ((50,), {"progress": 50}),
            ((-3, "odd"), {"progress": 0, "progress_message": "odd"}),
            (("20", 5), {"progress": 20, "progress_message": "5"}),
            ((101.5,), {"progress": 100}),
            ((None, "only words"), {"progress_message": "only words"}),
        ):
            with self.subTest(arguments):
                expected = {"gs": 1, "type": "progress", "task_id": "t1", **wanted}
                self.assertEqual(said("report_progress", *arguments), [expected])

    def test_nothing_to_say(self) -> None:
        self.assertEqual(said("report_progress"), [])

    def test_after_the_end_nothing_goes_out(self) -> None:
        self.assertEqual([event["type"] for event in one("late")], ["result"])


class Log(unittest.TestCase):
    def test_levels_of_other_programs(self) -> None:
        for level, wanted in (("WARN", "warning"), ("critical", "error"), ("info", "info")):
            self.assertEqual(said("log", level, "x")[0]["level"], wanted)

    def test_lines_of_many_threads_do_not_mix(self) -> None:
        events = one("threads")
        self.assertEqual(len(events), 401)
        self.assertEqual({event["message"] for event in events[:-1]}, {letter * 20_000 for letter in "abcd"})


class Values(unittest.TestCase):
    def test_those_that_json_cannot_carry(self) -> None:
        for name in ("nan", "deep", "deep behind", "digits", "object"):
            with self.subTest(name):
                [event] = one("values", name)
                self.assertEqual((event["type"], event["retryable"]), ("error", False))
                self.assertIn("JSON", event["error"])

    def test_a_line_that_is_too_long(self) -> None:
        [event] = one("values", "large")
        self.assertEqual((event["type"], event["retryable"]), ("error", False))
        self.assertIn("4 MiB", event["error"])

    def test_halves_of_characters(self) -> None:
        self.assertEqual(one("values", "half")[0]["result"], "a\ufffdb")
        self.assertEqual(one("values", "pair")[0]["result"], "\U0001f600")

    def test_brackets_in_a_text_are_no_depth(self) -> None:
        self.assertEqual(one("values", "brackets")[0]["result"], '[{"' * 200)
        self.assertEqual(one("values", "slashes")[0]["result"], ["\\", '\\"[{' * 200, "\\\\[", "9" * 400])


class Checkpoints(unittest.TestCase):
    def test_64_kib_and_no_more(self) -> None:
        first, result = one("checkpoints")
        self.assertEqual(len(first["data"]), 64 * 1024 - 2)
        self.assertIn("64 KiB", result["result"])


if __name__ == "__main__":
    unittest.main()
