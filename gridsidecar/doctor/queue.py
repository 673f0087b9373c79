"""What the work queue is, against what it is said to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gridsidecar.broker.queue_type import Existing
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.doctor.finding import Finding, State, fail, ok, unknown, warn
from gridsidecar.language import counted

DEFAULT_LIMIT = 20  # returns after which a quorum queue throws a message away, from RabbitMQ 4.0 on
FEW_RETURNS = 5
ASK_MANAGEMENT = "set broker.management_url: only the management API tells of policies"

Policy = Mapping[str, Any]


def arguments(broker: BrokerSettings, queue: Existing, policy: Policy | None) -> Finding:
    """Type and arguments; `policy` None: not known."""
    if queue.kind == "stream":
        return fail(
            "the queue is a stream: it shows a task to every worker and forgets none that is done",
            "declare it as a classic or a quorum queue, or name another in broker.queue",
        )
    problems = list(_problems(broker, queue, policy or {}))
    if problems:
        return Finding(State.WARN, "; ".join(found for found, _ in problems), "; ".join(what for _, what in problems))
    shown = ", ".join(f"{name}={value}" for name, value in sorted(queue.arguments.items()))
    return ok(f"a {queue.kind} queue{f' with {shown}' if shown else ''}, as it is said to be")


def _problems(broker: BrokerSettings, queue: Existing, policy: Policy) -> Iterator[tuple[str, str]]:
    if queue.passing is not None:
        problem = "not durable" if queue.passing == "durable" else "deleted when its last consumer leaves"
        yield f"the queue is {problem}: tasks in it are lost", "delete it when it is empty and declare it durable"
        return
    if queue.kind != broker.queue_type:
        yield (
            f"it is a {queue.kind} queue, broker.queue_type says {broker.queue_type}",
            f"set broker.queue_type: {queue.kind}",
        )
    priorities = queue.arguments.get("x-max-priority") or 0
    if queue.kind == "classic" and broker.max_priority > priorities:
        yield (
            f"its highest priority is {priorities}, broker.max_priority says {broker.max_priority}",
            "delete the queue when it is empty, and let a worker create it anew",
        )
    for name, problem in (
        ("message-ttl", "tasks vanish that wait for more than {value} ms"),
        ("expires", "the queue is deleted when nobody has used it for {value} ms, pods at zero too"),
        ("max-length", "no more than {value} tasks fit in it"),
        ("max-length-bytes", "no more than {value} bytes of tasks fit in it"),
        ("single-active-consumer", "only one worker at a time gets tasks"),
    ):
        value = queue.arguments.get(f"x-{name}", policy.get(name))
        if value not in (None, False):
            yield problem.format(value=value), f"take {name} away from its arguments or its policy"


def delivery_limit(queue: str, dead: str, found: Existing, policy: Policy | None, version: str) -> Finding:
    """What a quorum queue does with a message that comes back again and again."""
    if found.kind != "quorum":
        return ok(f"a {found.kind} queue counts no returns")
    limit = found.arguments.get("x-delivery-limit", (policy or {}).get("delivery-limit"))
    if policy is None and limit is None:
        return unknown("a policy may set it, and AMQP does not tell", ASK_MANAGEMENT)
    if limit is None:
        limit = DEFAULT_LIMIT if major(version) >= 4 else -1
    if limit < 0:
        return ok("no message is thrown away, however often it comes back")
    exchange = found.arguments.get("x-dead-letter-exchange", (policy or {}).get("dead-letter-exchange"))
    if exchange is None and policy is None:
        return unknown(
            f"the limit is {limit}; whether a policy keeps what is thrown away, AMQP does not tell", ASK_MANAGEMENT
        )
    if exchange is None:
        content = f'{{"dead-letter-exchange":"","dead-letter-routing-key":"{dead}"}}'
        return warn(
            f"a message that came back more than {counted(limit, 'time')} is thrown away, and nothing keeps it",
            f"rabbitmqctl set_policy tasks '^{queue}$' '{content}' --apply-to queues",
        )
    if limit < FEW_RETURNS:
        return warn(f"a limit of {limit}: a few pods that go cost a message", "leave it at 5 or more, or set it to -1")
    return ok(f"after {counted(limit, 'return')} a message goes to the exchange {exchange!r}")


def consumer_timeout(
    broker: BrokerSettings, handlers: Mapping[str, HandlerSettings], found: Existing | None, policy: Policy | None
) -> Finding:
    """How long the broker lets a message stay unacknowledged, against what is stated and what tasks take."""
    longest = broker.longest_hold
    long = sorted(name for name, each in handlers.items() if each.timeout == 0 or each.timeout > longest)
    tasks = f"tasks that run for more than {longest:g} s are handed off to the database"
    if long:
        tasks += f" ({', '.join(long)} may; KEDA needs its trigger on the database for them)"
    given = None if found is None else found.arguments.get("x-consumer-timeout")
    given = given if given is not None else (policy or {}).get("consumer-timeout")
    if given is None:
        return unknown(
            f"what the broker enforces, AMQP does not tell; stated are {broker.consumer_timeout:g} s: {tasks}",
            "compare with `rabbitmqctl environment | grep consumer_timeout`, which is in milliseconds",
        )
    enforced = given / 1000
    if enforced < broker.consumer_timeout:
        return warn(
            f"the queue's own is {enforced:g} s, stated are {broker.consumer_timeout:g} s: messages come again",
            f"set broker.consumer_timeout: {enforced:g}",
        )
    return ok(f"the queue's own is {enforced:g} s; {tasks}")


def major(version: str) -> int:
    first = version.partition(".")[0]
    return int(first) if first.isdigit() else 0
