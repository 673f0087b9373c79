"""The formats at the edges: task messages in, one line of JSON to the handler, its events back, stored properties."""

from gridsidecar.wire.callback_body import callback_queue, encode_callback, sent_callback
from gridsidecar.wire.event_line import decode_among, decode_ends, decode_ends_among, decode_event
from gridsidecar.wire.events import (
    CheckpointEvent,
    ErrorEvent,
    Event,
    HeartbeatEvent,
    Ignored,
    LineSource,
    LogEvent,
    ProgressEvent,
    ReadyEvent,
    ResultEvent,
    Text,
    Unreadable,
)
from gridsidecar.wire.fields import doubtful, is_unusable_url, task_id_problem
from gridsidecar.wire.handler_input import (
    PROTOCOL_VERSION,
    encode_cancel,
    encode_input,
    encode_task_end,
    encode_worker_event,
)
from gridsidecar.wire.json_text import JsonText, Spliced
from gridsidecar.wire.large_message import SMALL, is_small, read_large, stored_text
from gridsidecar.wire.properties import decode_properties, encode_properties
from gridsidecar.wire.refused import Refused
from gridsidecar.wire.strict_json import data_json, readable_json
from gridsidecar.wire.task_message import decode_task

__all__ = [
    "PROTOCOL_VERSION",
    "SMALL",
    "CheckpointEvent",
    "ErrorEvent",
    "Event",
    "HeartbeatEvent",
    "Ignored",
    "JsonText",
    "LineSource",
    "LogEvent",
    "ProgressEvent",
    "ReadyEvent",
    "Refused",
    "ResultEvent",
    "Spliced",
    "Text",
    "Unreadable",
    "callback_queue",
    "data_json",
    "decode_among",
    "decode_ends",
    "decode_ends_among",
    "decode_event",
    "decode_properties",
    "decode_task",
    "doubtful",
    "encode_callback",
    "encode_cancel",
    "encode_input",
    "encode_properties",
    "encode_task_end",
    "encode_worker_event",
    "is_small",
    "is_unusable_url",
    "read_large",
    "readable_json",
    "sent_callback",
    "stored_text",
    "task_id_problem",
]
