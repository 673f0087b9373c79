"""The settings, one frozen model per section. A component is given its own section, never all of `Settings`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gridsidecar.retry import RetryPolicy

NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]*$", max_length=40)]
ExitCode = Annotated[int, Field(ge=1, le=255)]


class Section(BaseModel):
    """Base of every section: frozen, and an unknown key is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BrokerSettings(Section):
    url: str
    management_url: str | None = None
    queue: Annotated[str, StringConstraints(min_length=1, max_length=200)] = "task_queue"
    declare_queue: bool = Field(default=True, alias="declare")
    queue_type: Literal["classic", "quorum"] = "classic"
    max_priority: Annotated[int, Field(ge=0, le=255)] = 0
    delay_queue_type: Literal["auto", "classic", "quorum"] = "auto"
    dead_letter_queue: str | None = None
    heartbeat: Annotated[int, Field(ge=1, le=600)] = 15
    consumer_timeout: Annotated[float, Field(ge=2)] = 1800
    max_message_bytes: Annotated[int, Field(ge=1024)] = 16_777_216

    @property
    def dead_letters(self) -> str:
        """Name of the queue that takes what can never run."""
        return self.dead_letter_queue or f"{self.queue}.dead"


class StoreSettings(Section):
    url: str
    table_prefix: Identifier = "grid_async_task_"
    table_name: Annotated[Identifier, Field(min_length=1)] = "tasks"
    pool_size: Annotated[int, Field(ge=2, le=64)] = 8
    migrate: bool = True
    retention_days: NonNegative = 0


class WorkerSettings(Section):
    name: str | None = None
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 1
    idle_timeout: NonNegative = 0
    burst: bool = False
    burst_timeout: NonNegative = 300
    burst_check_interval: Positive = 1
    burst_wait: bool = True
    shutdown_grace: NonNegative = 30
    lease: Annotated[float, Field(ge=1)] = 60
    max_crashes: Count = 3


class RetrySettings(Section):
    """The retry policy; a handler's own `retry` section overrides single keys of it."""

    max_retries: Count = 0
    strategy: Literal["fixed", "exponential"] = "fixed"
    delay: NonNegative = 60
    max_delay: NonNegative = 3600
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0


class RetryOverrides(Section):
    max_retries: Count | None = None
    strategy: Literal["fixed", "exponential"] | None = None
    delay: NonNegative | None = None
    max_delay: NonNegative | None = None
    jitter: Annotated[float, Field(ge=0, le=1)] | None = None


class LimitSettings(Section):
    """Limits of the child process; 0 sets none."""

    open_files: Count = 0
    cpu_seconds: Count = 0
    memory_mb: Count = 0


class ExitCodeSettings(Section):
    retry: list[ExitCode] = [75]
    permanent: list[ExitCode] = [65]


class PersistentSettings(Section):
    processes: Count = 0
    max_tasks: Count = 0
    max_age: NonNegative = 0
    max_rss_mb: Count = 0
    ready_timeout: Positive = 30


class HandlerSettings(Section):
    command: Annotated[list[str], Field(min_length=1)]
    mode: Literal["oneshot", "persistent"] = "oneshot"
    timeout: NonNegative = 300
    stall_timeout: NonNegative = 0
    kill_grace: NonNegative = 10
    input: Literal["task", "data"] = "task"
    result_from: Literal["events", "stdout"] = "events"
    channel: Literal["auto", "events", "stdout"] = "auto"
    max_result_bytes: Annotated[int, Field(ge=1)] = 1_048_576
    concurrency: Count = 0
    cwd: str | None = None
    env: dict[str, str] = {}
    pass_env: list[str] = []
    limits: LimitSettings = LimitSettings()
    exit_codes: ExitCodeSettings = ExitCodeSettings()
    retry: RetryOverrides = RetryOverrides()
    persistent: PersistentSettings = PersistentSettings()


class CallbackSettings(Section):
    timeout: Positive = 30
    max_retries: Count = 3
    signing_secret: str | None = None
    allow: list[str] = []
    block_private: bool = False
    queue: str = "callback_queue"


class HttpSettings(Section):
    listen: str | None = None
    token: str | None = None


class LogSettings(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["console", "json"] = "console"
    dir: str | None = None
    language: Literal["en", "zh"] = "en"
    stats_interval: NonNegative = 60


class Settings(Section):
    broker: BrokerSettings
    store: StoreSettings
    worker: WorkerSettings = WorkerSettings()
    handlers: Annotated[dict[str, HandlerSettings], Field(min_length=1)]
    retry: RetrySettings = RetrySettings()
    progress_interval: NonNegative = 1
    callbacks: CallbackSettings = CallbackSettings()
    notify: list[dict[str, Any]] = []
    hooks: dict[str, Any] = {}
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()


def retry_policy(general: RetrySettings, handler: HandlerSettings) -> RetryPolicy:
    """The policy of one handler: its own keys over the general ones."""
    return RetryPolicy(**(general.model_dump() | handler.retry.model_dump(exclude_none=True)))
