"""Functions by type, hooks, and the ends of tasks."""

from __future__ import annotations

import unittest

from tests.conversation import Handler, one, task


class Choice(unittest.TestCase):
    def test_by_type(self) -> None:
        self.assertEqual(one("by_type", 21, task_type="double")[0]["result"], 42)
        self.assertEqual(one("by_type", task_type="slowly", attempt=3)[0]["result"], {"id": "t1", "try": 3})
        [event] = one("by_type", task_type="other")
        self.assertEqual((event["error_type"], event["retryable"]), ("NoHandler", False))
        self.assertIn("double, slowly", event["error"])


class Hooks(unittest.TestCase):
    def test_they_share_state_and_tasks_do_not(self) -> None:
        with Handler("hooks", "persistent") as handler:
            self.assertEqual(handler.event()["type"], "ready")
            for number in "12":
                handler.send(task(None, number))
                result = handler.event()["result"]
                self.assertTrue(result["same loop"])
                self.assertEqual(result["mine"], 1)
            self.assertEqual(result["log"], ["startup", "start 1", "end 1", "start 2"])
            code, errors = handler.finish()
            self.assertEqual(code, 0)
            self.assertIn("startup, start 1, end 1, start 2, end 2, shutdown", errors)

    def test_in_a_process_of_one_task(self) -> None:
        self.assertEqual(one("hooks")[0]["result"]["log"], ["startup", "start t1"])

    def test_a_start_that_fails(self) -> None:
        with Handler("broken_start", "persistent") as handler:
            error = handler.event()
            self.assertEqual(
                (error["type"], error["error"], error["error_type"]), ("error", "no model here", "OSError")
            )
            self.assertEqual(handler.finish()[0], 1)
        self.assertEqual(one("broken_start")[0]["error"], "no model here")


class Ends(unittest.TestCase):
    def test_the_cause_names_a_retry(self) -> None:
        [event] = one("retry_from")
        self.assertEqual((event["error"], event["error_type"], event["retryable"]), ("later", "ConnectionError", True))
        self.assertNotIn("retry_after_s", event)

    def test_without_a_task(self) -> None:
        with Handler("by_type", "oneshot") as handler:
            handler.finish()
            self.assertEqual(handler.event()["error_type"], "ProtocolError")


class Stops(unittest.TestCase):
    def stopped(self, name: str) -> tuple:
        with Handler(name, "persistent") as handler:
            handler.event()
            handler.send(task())
            handler.event()
            handler.terminate()
            events = handler.rest()
            return handler.process.wait(30), events

    def test_an_error_on_the_way_out_is_not_said(self) -> None:
        self.assertEqual(self.stopped("error_after_stop"), (143, []))

    def test_what_a_handler_says_on_purpose_is_said(self) -> None:
        code, [event] = self.stopped("stopped_but_says_permanent")
        self.assertEqual((code, event["error_type"]), (143, "Gone"))

    def test_before_there_is_a_task(self) -> None:
        for mode in ("oneshot", "persistent"):
            with Handler("sleeps", mode) as handler:
                if mode == "persistent":
                    handler.event()
                handler.terminate()
                self.assertIn(handler.process.wait(30), (143, -15))
                self.assertEqual(handler.rest(), [])

    def test_a_hook_that_hangs(self) -> None:
        with Handler("ends_slowly", "persistent") as handler:
            handler.event()
            handler.send(task())
            handler.event()
            handler.terminate()
            self.assertEqual([event["type"] for event in handler.rest()], ["result"])
            code, errors = handler.finish()
            self.assertEqual(code, 143)
            self.assertIn("shut down", errors)

    def test_cancels_of_a_function_that_sleeps(self) -> None:
        with Handler("sleeps", "persistent") as handler:
            handler.event()
            for name in "abc":
                handler.send(task(None, name))
                handler.event()
                handler.send({"gs": 1, "type": "cancel", "task_id": name, "attempt": 2})
                handler.send({"gs": 1, "type": "cancel", "task_id": name, "attempt": 1, "reason": "timeout"})
                error = handler.event()
                self.assertEqual((error["task_id"], error["error_type"]), (name, "Stopped"))
                self.assertIn("timeout", error["error"])
            self.assertEqual(handler.finish()[0], 0)


class EarlierClasses(unittest.TestCase):
    def test_in_both_modes(self) -> None:
        progress, result = one("plugin", {"a": 1})
        self.assertEqual((progress["progress"], progress["progress_message"]), (20, "开始"))
        self.assertEqual((result["result"]["id"], result["result"]["data"]), ("t1", {"a": 1}))
        self.assertIn("module", result["result"]["at"])
        with Handler("plugin", "persistent") as handler:
            handler.event()
            handler.send(task("bad", "a"), task("good", "b"))
            events = [handler.event() for _ in range(4)]
            self.assertEqual([event["type"] for event in events], ["progress", "error", "progress", "result"])
            self.assertEqual((events[1]["error_type"], events[1]["task_id"]), ("ValueError", "a"))
            self.assertEqual(events[3]["result"]["id"], "b")
            self.assertEqual(handler.finish()[0], 0)


if __name__ == "__main__":
    unittest.main()
