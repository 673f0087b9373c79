"""The settings, one frozen model per section. A component is given its own section, never all of `Settings`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.config.hooks import HookSettings
from gridsidecar.config.http import HttpSettings
from gridsidecar.config.notices import NoticeSettings
from gridsidecar.config.secret_files import ServerSection
from gridsidecar.config.section import Section
from gridsidecar.config.traces import TraceSettings
from gridsidecar.config.values import (
    RETENTION_SCHEMA,
    BrokerUrl,
    Fraction,
    Identifier,
    Level,
    NonNegative,
    Number,
    Positive,
    Processes,
    QueueName,
    QueuePattern,
    SigningSecret,
    TaskType,
    WholeNumber,
    urls_of,
)
from gridsidecar.rules.retry import RetryPolicy


class BrokerSettings(ServerSection):
    """The queue that tasks come from."""

    url: BrokerUrl = Field(
        description="amqp:// or amqps:// for RabbitMQ, sqlite:///file.db for the embedded queue. A list, or one text "
        "with commas, names the nodes of one cluster: where one cannot be reached, the next is tried."
    )
    management_url: str | None = Field(
        default=None, description="http://user:password@host:15672 of RabbitMQ's management, for what AMQP cannot tell."
    )
    queue: QueueName = Field(default="task_queue", description="Name of the work queue.")
    declare_queue: bool = Field(
        default=True,
        alias="declare",
        description="Create the queue when it is missing. An existing one is never changed.",
    )
    queue_type: Literal["classic", "quorum"] = Field(
        default="classic", description="Type of the work queue: to create it; state that of an existing one too."
    )
    max_priority: Annotated[int, Field(ge=0, le=255), Number] = Field(
        default=0, description="Highest priority of a queue that is created; 0 = no priorities. 9 covers every task."
    )
    delay_queue_type: Literal["auto", "classic", "quorum"] = Field(
        default="auto", description="Type of the queues that hold delayed tasks; auto = as queue_type says."
    )
    dead_letter_queue: QueueName | None = Field(
        default=None, description="Queue for messages that can never run; null = <queue>.dead."
    )
    dead_letter_failed: bool = Field(
        default=False,
        description="Put the message of a task that failed for good, after its retries, there as well. For queues of "
        "which no worker is older than this setting.",
    )
    heartbeat: Annotated[int, Field(ge=1, le=600), Number] = Field(default=15, description="AMQP heartbeat in seconds.")
    consumer_timeout: Annotated[float, Field(ge=2), Number] = Field(
        default=1800,
        description="Seconds for which the broker lets a message stay unacknowledged. At half of it a task is handed "
        "off to the store, so that it may run for hours.",
    )
    max_message_bytes: Annotated[int, Field(ge=1024), Number] = Field(
        default=16_777_216, description="Largest message body in bytes, also after inflating it."
    )

    @property
    def urls(self) -> list[str]:
        """All of them, the one that is tried first in front."""
        return [self.url] if isinstance(self.url, str) else self.url

    @property
    def urls_now(self) -> list[str]:
        """For a new connection: with what the files of their secrets hold by now."""
        now = urls_of(self.renewed(",".join(self.urls))) if None in self.recipes else self.urls
        return [self.renewed(url, place) for place, url in enumerate(now)]

    @property
    def embedded(self) -> bool:
        return self.urls[0].startswith("sqlite:")

    @property
    def longest_hold(self) -> float:
        """Seconds that we keep a delivery unacked: the broker would take it back at `consumer_timeout`."""
        return self.consumer_timeout / 2

    @property
    def dead_letters(self) -> str:
        """Name of the queue that takes what can never run."""
        return self.dead_letter_queue or f"{self.queue}.dead"


class StoreSettings(ServerSection):
    """The database that keeps the state of every task."""

    url: str = Field(description="mysql://user:password@host:3306/database, or sqlite:///file.db.")
    table_prefix: Identifier = Field(
        default="grid_async_task_", description="Put before every table's name; may be empty."
    )
    table_name: Annotated[Identifier, Field(min_length=1)] = Field(
        default="tasks", description="The main table's name, without the prefix."
    )
    pool_size: Annotated[int, Field(ge=2, le=64), Number] = Field(default=8, description="Most connections at a time.")
    migrate: bool = Field(
        default=True, description="Create and update the tables at the start; false only checks them."
    )
    retention_days: Annotated[float, Field(ge=0, le=36500), Number, RETENTION_SCHEMA] = Field(
        default=0, description="Days to keep tasks after their end, with all that belongs to them; 0 = for ever."
    )

    @property
    def url_now(self) -> str:
        """For a new connection: with what the files of its secrets hold by now."""
        return self.renewed(self.url)


class WorkerSettings(Section):
    """This sidecar: how much it does at a time, in how many processes, and when it leaves."""

    name: str | None = Field(default=None, description="Name of this worker; null = host name and process id.")
    concurrency: Annotated[int, Field(ge=1, le=1000), Number] = Field(default=1, description="Tasks that run at once.")
    prefetch: Annotated[int, Field(ge=0, le=65_535), Number] | None = Field(
        default=None,
        description="Messages held beyond those that run. null = none while tasks are long, so that other pods can "
        "have them, and up to 64 while tasks end within a fraction of a second.",
    )
    processes: Processes = Field(
        default=1,
        description="Processes that share the work, to use more than one core; each costs memory and connections. "
        "auto = one for each core that this may use.",
    )
    idle_timeout: NonNegative = Field(
        default=0, description="Exit with 0 after so many seconds without work; 0 = never."
    )
    burst: bool = Field(default=False, description="Exit with 0 when the queue is empty; what is delayed stays.")
    burst_timeout: NonNegative = Field(default=300, description="Longest burst run in seconds; 0 = no limit.")
    burst_check_interval: Positive = Field(
        default=1, description="Seconds between two looks at the queue in a burst run."
    )
    burst_wait: bool = Field(default=True, description="Let running tasks finish before a burst run exits.")
    shutdown_grace: NonNegative = Field(
        default=30, description="Seconds that running tasks get to finish after SIGTERM; then they are given back."
    )
    lease: Annotated[float, Field(ge=1), Number] = Field(
        default=60, description="Seconds without a heartbeat after which other workers take over this one's tasks."
    )
    memory_budget_mb: Annotated[int, Field(ge=1), Number] | None = Field(
        default=None,
        description="Most MiB of memory that one large message may take while it is read and stored: about five times "
        "its size, so 80 for 16 MiB. null = half of what the container's memory limit leaves, or 512 without a limit. "
        "A message that needs more is a dead letter.",
    )

    @property
    def memory_room(self) -> int | None:
        """`memory_budget_mb` in bytes."""
        return None if self.memory_budget_mb is None else self.memory_budget_mb * 1024 * 1024

    max_crashes: WholeNumber = Field(
        default=3,
        description="Take-overs of one task from dead workers, before it fails with WorkerLost; likewise refusals of "
        "the database to write its row, before it goes to the dead letters.",
    )
    heartbeat_file: str | None = Field(default=None, description="File for `gridsidecar health` to read; null = none.")
    unknown_types: Literal["dead_letter", "pass_on"] = Field(
        default="dead_letter",
        description="A task whose type has no handler here: dead_letter refuses it, pass_on leaves it to other workers "
        "of the queue, and refuses it after an hour.",
    )


class RetrySettings(Section):
    """The retry policy; a handler's own `retry` section overrides single keys of it."""

    max_retries: WholeNumber = Field(
        default=0, description="Retries after the first attempt; max_retry_count in a message wins over it."
    )
    strategy: Literal["fixed", "exponential"] = Field(
        default="fixed", description="fixed waits delay each time; exponential doubles it up to max_delay."
    )
    delay: NonNegative = Field(default=60, description="Seconds before a retry.")
    max_delay: NonNegative = Field(default=3600, description="Longest delay in seconds, with exponential.")
    jitter: Fraction = Field(default=0.0, description="Random extra, as a fraction of the delay: 0 – 1.")


class CallbackSettings(Section):
    """Reports about finished tasks to whoever asked for them."""

    timeout: Positive = Field(default=30, description="Seconds for one HTTP request.")
    max_retries: Annotated[int, Field(ge=0, le=100), Number] = Field(
        default=3, description="Further tries after the first, at growing gaps: 5 s, 30 s, 2 min, 10 min, 1 h."
    )
    signing_secret: SigningSecret | None = Field(
        default=None, description="Key of the signature header (Standard Webhooks); null = no signature."
    )
    allow: list[str] = Field(
        default=[],
        description="Hosts (name or *.domain) and networks (10.0.0.0/8) that are allowed although they are internal.",
    )
    block_private: bool = Field(
        default=False, description="Refuse private addresses and those of this machine's interfaces too."
    )
    queue: QueueName = Field(default="callback_queue", description="Queue for callbacks by RabbitMQ that name none.")
    queues: Annotated[list[QueuePattern], Field(min_length=1)] = Field(
        default=["*"],
        description="Patterns (*, ?, [ab]) of the queues that a task may name, besides callbacks.queue. By default, "
        "whoever may send a task may write into any queue of the virtual host: better name your own.",
    )
    declare_queues: bool = Field(
        default=True,
        alias="declare",
        description="Create the queue of a callback when it is missing; false makes a missing one a failure.",
    )


class LogSettings(Section):
    """What the worker prints on stderr."""

    level: Level = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR, in any case.")
    format: Literal["console", "json"] = Field(default="console", description="console for people, json for machines.")
    dir: str | None = Field(default=None, description="Folder for log files, rotated by size; null = stderr only.")
    language: Literal["en", "zh"] = Field(default="en", description="Language of the log lines.")
    stats_interval: NonNegative = Field(default=60, description="Seconds between two lines of figures; 0 = none.")
    handler_output: bool = Field(
        default=False,
        description="Each line that a handler prints is also a line of the log, at level INFO, and each of its log "
        "events at its own, with task id and attempt; at most 1,000 a second.",
    )


class Settings(Section):
    """All of one configuration file."""

    broker: BrokerSettings
    store: StoreSettings
    worker: WorkerSettings = WorkerSettings()
    handlers: Annotated[dict[TaskType, HandlerSettings], Field(min_length=1)] = Field(
        description="One handler for each task_type; `default` takes every type that has none."
    )
    retry: RetrySettings = RetrySettings()
    progress_interval: NonNegative = Field(
        default=1, description="Seconds between two writes of a task's progress to the store, at least."
    )
    callbacks: CallbackSettings = CallbackSettings()
    notify: list[NoticeSettings] = Field(default=[], description="Where notices about tasks go.")
    hooks: HookSettings = HookSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    traces: TraceSettings = TraceSettings()


def retry_policy(general: RetrySettings, handler: HandlerSettings) -> RetryPolicy:
    """The policy of one handler: its own keys over the general ones."""
    return RetryPolicy(**(general.model_dump() | handler.retry.model_dump(exclude_none=True)))
