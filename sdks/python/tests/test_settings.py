"""Where the settings of sidecar and producers come from."""

from __future__ import annotations

import os
import tempfile
import unittest

from gridsidecar_sdk.sidecar import Options, configuration
from gridsidecar_sdk.variables import amqp_url, queue_arguments, queue_name, read_variables


class Configuration(unittest.TestCase):
    def test_defaults_are_those_of_the_earlier_plugin(self) -> None:
        config = configuration(Options(), {})
        self.assertEqual(config["retry"], {"max_retries": 3, "delay": 60})
        self.assertEqual(config["store"], {"table_prefix": "", "table_name": "grid_async_tasks"})
        self.assertEqual((config["progress_interval"], config["worker"]), (10, {"concurrency": 1}))
        handler = config["handlers"]["default"]
        self.assertEqual((handler["mode"], handler["timeout"]), ("persistent", 3600))

    def test_variables_win_over_defaults_and_arguments_over_variables(self) -> None:
        names = ("MAX_RETRY_COUNT", "RETRY_DELAY", "PROGRESS_INTERVAL", "TABLE_NAME", "PREFETCH_COUNT", "TIMEOUT")
        variables = {f"GRID_ASYNC_TASK_{name}": "7" for name in names}
        config = configuration(Options(), variables)
        self.assertEqual((config["retry"], config["store"]), ({}, {"table_prefix": ""}))
        self.assertNotIn("progress_interval", config)
        self.assertEqual((config["worker"]["concurrency"], config["handlers"]["default"]["timeout"]), ("7", "7"))
        config = configuration(Options(5, 1, 2, 4), variables)
        self.assertEqual(config["retry"], {"max_retries": 5, "delay": 1})
        self.assertEqual((config["progress_interval"], config["worker"]["concurrency"]), (2, 4))

    def test_many_tasks_in_one_process(self) -> None:
        config = configuration(Options(concurrency=100), {})
        self.assertEqual(config["worker"], {"concurrency": 100})
        self.assertEqual(config["handlers"]["default"]["persistent"], {"ready_timeout": 300, "concurrency": 100})
        self.assertEqual(configuration(Options(prefetch_count=200, concurrency=50), {})["worker"], {"concurrency": 200})

    def test_a_handler_gets_no_address_and_no_password(self) -> None:
        os.environ.update(MYSQL_PASSWORD="x", GRID_ASYNC_TASK_AMQP_URL="x", OWN="x")
        try:
            passed = configuration(Options(), {})["handlers"]["default"]["pass_env"]
        finally:
            for name in ("MYSQL_PASSWORD", "GRID_ASYNC_TASK_AMQP_URL", "OWN"):
                del os.environ[name]
        self.assertIn("OWN", passed)
        self.assertFalse({"MYSQL_PASSWORD", "GRID_ASYNC_TASK_AMQP_URL"} & set(passed))

    def test_the_variables_of_a_script_may_stand_in_the_file(self) -> None:
        variables = {"ITS_OWN": "x", "MYSQL_PASSWORD": "x"}  # of `.env`
        passed = configuration(Options(), variables)["handlers"]["default"]["pass_env"]
        self.assertIn("ITS_OWN", passed)
        self.assertNotIn("MYSQL_PASSWORD", passed)


class Variables(unittest.TestCase):
    def read(self, text: str, environ: dict) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, ".env")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return read_variables(environ, path)

    def test_the_file(self) -> None:
        text = "\ufeff# words\nA=1\nexport B = two # why\nC=\"x # y\"\nD='z'\nE=p#q\nF=\nno line\nA=3\n"
        wanted = {"A": "3", "B": "two", "C": "x # y", "D": "z", "E": "p#q"}
        self.assertEqual(self.read(text, {}), wanted)

    def test_the_environment_wins(self) -> None:
        found = self.read("A=1\nB=2\nRABBITMQ_PORT=5673\n", {"A": "x", "B": "", "RABBITMQ_PORT": "tcp://10.0.0.1:5672"})
        self.assertEqual(found, {"A": "x", "B": "2", "RABBITMQ_PORT": "5673"})

    def test_the_address(self) -> None:
        self.assertEqual(amqp_url({}), "amqp://guest:guest@localhost:5672/%2F")
        parts = {"HOST": "::1", "PORT": "5673", "USERNAME": "me", "PASSWORD": "p@ss/w", "VHOST": "a/b"}
        variables = {f"RABBITMQ_{name}": value for name, value in parts.items()}
        self.assertEqual(amqp_url(variables), "amqp://me:p%40ss%2Fw@[::1]:5673/a%2Fb")
        self.assertEqual(amqp_url({**variables, "GRID_ASYNC_TASK_AMQP_URL": "amqp://x/"}), "amqp://x/")

    def test_the_queue(self) -> None:
        self.assertEqual(queue_name({}), "task_queue")
        self.assertEqual(queue_name({"RABBITMQ_QUEUE": "b", "GRID_ASYNC_TASK_QUEUE": "a"}), "a")
        self.assertEqual(queue_arguments({}), {})


if __name__ == "__main__":
    unittest.main()
