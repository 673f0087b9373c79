"""The brokers that the contract is run over: RabbitMQ with both queue types, and the embedded one."""

from __future__ import annotations

from typing import Any

import pytest

from gridsidecar.config.settings import BrokerSettings


@pytest.fixture(params=["amqp-classic", "amqp-quorum", "embedded"])
def settings(request: pytest.FixtureRequest) -> BrokerSettings:
    """A fresh queue of each kind in turn."""
    values: dict[str, Any]
    match request.param:
        case "amqp-classic":
            values = {"url": request.getfixturevalue("amqp_url"), "max_priority": 9}
        case "amqp-quorum":
            values = {"url": request.getfixturevalue("amqp_url"), "queue_type": "quorum"}
        case _:
            return BrokerSettings(url=request.getfixturevalue("sqlite_url"), queue="work")
    return BrokerSettings(queue=request.getfixturevalue("queue"), **values)
