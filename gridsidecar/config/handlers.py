"""The settings of one handler: its command or its server, and what holds for its tasks alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gridsidecar.config.section import Section
from gridsidecar.config.values import ExitCode, Fraction, NonNegative, Number, Positive, WholeNumber


class RetryOverrides(Section):
    """Keys of `retry` for one handler; null = as `retry` says."""

    max_retries: WholeNumber | None = Field(default=None, description="Retries after the first attempt.")
    strategy: Literal["fixed", "exponential"] | None = Field(default=None, description="fixed or exponential.")
    delay: NonNegative | None = Field(default=None, description="Seconds before a retry.")
    max_delay: NonNegative | None = Field(default=None, description="Longest delay in seconds, with exponential.")
    jitter: Fraction | None = Field(default=None, description="Random extra, as a fraction of the delay: 0 – 1.")


class LimitSettings(Section):
    """Limits of the child process, also of one that stays, over its whole life; 0 sets none."""

    open_files: WholeNumber = Field(default=0, description="Most open files.")
    cpu_seconds: WholeNumber = Field(default=0, description="Most seconds of CPU time.")
    memory_mb: WholeNumber = Field(default=0, description="Most address space in MiB.")


class ExitCodeSettings(Section):
    """What an exit code means when the handler sent neither a result nor an error."""

    retry: list[ExitCode] = Field(default=[75], description="Exit codes that ask for a retry.")
    permanent: list[ExitCode] = Field(default=[65], description="Exit codes that forbid a retry.")


class PersistentSettings(Section):
    """Handler processes that stay and take many tasks."""

    processes: WholeNumber = Field(
        default=0,
        description="Most processes, all started with the worker; 0 = one at the start, more with the work, as many as "
        "tasks run at the same time.",
    )
    concurrency: Annotated[int, Field(ge=1, le=1000), Number] = Field(
        default=1,
        description="Most tasks that one process has at the same time, if its `ready` says that it takes so many.",
    )
    max_tasks: WholeNumber = Field(default=0, description="Replace a process after so many tasks; 0 = never.")
    max_age: NonNegative = Field(default=0, description="Replace a process after so many seconds; 0 = never.")
    max_rss_mb: WholeNumber = Field(
        default=0, description="Replace a process that holds more MiB of memory after a task; 0 = never."
    )
    ready_timeout: Positive = Field(default=30, description="Seconds that a new process has to say that it is ready.")


class BreakerSettings(Section):
    """Pauses a task type whose attempts all fail."""

    failures: WholeNumber = Field(
        default=0, description="Failed attempts of a type in a row, in one process, that pause it; 0 = never."
    )
    cool_down: Positive = Field(
        default=60, description="Seconds until one of its tasks is tried; a success ends the pause."
    )


class HandlerSettings(Section, json_schema_extra={"oneOf": [{"required": ["command"]}, {"required": ["mode", "url"]}]}):
    """The command, or the server, that runs the tasks of one type."""

    command: list[str] = Field(
        default=[],
        json_schema_extra={"minItems": 1},  # of one that is written; handler_rules.py says where it must be
        description="The program and its arguments, as a list; never a shell string. Needed but for http.",
    )
    mode: Literal["oneshot", "persistent", "http"] = Field(
        default="oneshot",
        description="oneshot starts the command for every task; persistent keeps it running, for a command that takes "
        "one task after the other; http posts every task to a server that runs already, at url.",
    )
    url: str | None = Field(
        default=None,
        description="The server of mode http: http://127.0.0.1:8000/path, or unix:///path/of.sock, with :/path behind "
        "it where that is not /.",
    )
    timeout: NonNegative = Field(
        default=300, description="Seconds that one attempt may take; 0 = no limit. timeout in a message wins over it."
    )
    stall_timeout: NonNegative = Field(
        default=0, description="Seconds without any event or output after which an attempt is stalled; 0 = no limit."
    )
    kill_grace: NonNegative = Field(default=10, description="Seconds between SIGTERM and SIGKILL.")
    input: Literal["task", "data"] = Field(
        default="task", description="What the command reads on stdin: the whole task, or only its data."
    )
    result_from: Literal["events", "stdout"] = Field(
        default="events", description="Where the result comes from: a result event, or all that is printed on stdout."
    )
    channel: Literal["auto", "events", "stdout"] = Field(
        default="auto", description="Where events are accepted: the private pipe, stdout, or whichever is used (auto)."
    )
    max_result_bytes: Annotated[int, Field(ge=1), Number] = Field(
        default=1_048_576, description="Largest result in bytes; a larger one is a failed attempt."
    )
    concurrency: WholeNumber = Field(
        default=0, description="Tasks of this handler that run at the same time; 0 = as many as worker.concurrency."
    )
    cwd: str | None = Field(default=None, description="Folder to run the command in; null = where the worker runs.")
    env: dict[str, str] = Field(default={}, description="Variables for the command.")
    pass_env: list[str] = Field(
        default=[], description="Names of the worker's own variables, or of .env, that the command gets as well."
    )
    rate: str | None = Field(
        default=None,
        description="Most starts in a time over all workers, evenly spread, as 10/s or 100/1m; null = no limit.",
    )
    breaker: BreakerSettings = BreakerSettings()
    limits: LimitSettings = LimitSettings()
    exit_codes: ExitCodeSettings = ExitCodeSettings()
    retry: RetryOverrides = RetryOverrides()
    persistent: PersistentSettings = PersistentSettings()
