"""The words of a message in each language of `log.language`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gridsidecar.language import Translate, as_it_is
from gridsidecar.rules.task import Status


class Translations(Struct, frozen=True, kw_only=True):
    """`{…}` are filled in. `translate` is for errors: those that are ours are sentences of the catalogue."""

    statuses: Mapping[Status, str]
    one: str
    refused: str
    many: str
    by_status: str
    comma: str
    colon: str
    task: str
    type: str
    queue: str
    worker: str
    attempt: str
    attempt_of: str
    took: str
    retry_in: str
    time: str
    error: str
    no_error: str
    traceback: str
    stderr: str
    others: str
    first_tasks: str
    more: str
    undelivered: str
    breaker_opened: str
    breaker_opened_more: str
    breaker_closed: str
    translate: Translate = as_it_is


ENGLISH = Translations(
    statuses={
        Status.FAILED: "failed",
        Status.RETRYING: "retrying",
        Status.CANCELLED: "cancelled",
        Status.SUCCESS: "success",
    },
    one="Task {status}: {type}",
    refused="Message refused",
    many="{count:,} tasks: {statuses}",
    by_status="{count:,} {status}",
    comma=", ",
    colon=": ",
    task="Task",
    type="Type",
    queue="Queue",
    worker="Worker",
    attempt="Attempt",
    attempt_of="{attempt} of {allowed}",
    took="Took",
    retry_in="Retry in",
    time="Time",
    error="Error",
    no_error="no error text",
    traceback="Traceback",
    stderr="End of stderr",
    others="others",
    first_tasks="The first {count}",
    more="and {count:,} more",
    undelivered="notices before this one that nobody took: {count:,}",
    breaker_opened="Task type paused by its breaker: {type}",
    breaker_opened_more="Task type {type} is paused: {failures} failed attempts in a row. One task is tried in "
    "{seconds}. The last error: {error}",
    breaker_closed="Task type goes on, a task succeeded: {type}",
)

CHINESE = Translations(
    statuses={
        Status.FAILED: "失败",
        Status.RETRYING: "等待重试",
        Status.CANCELLED: "已取消",
        Status.SUCCESS: "成功",
    },
    one="任务{status}：{type}",
    refused="消息被拒绝",
    many="{count:,} 个任务：{statuses}",
    by_status="{count:,} 个{status}",
    comma="，",
    colon="：",
    task="任务",
    type="类型",
    queue="队列",
    worker="worker",
    attempt="执行次数",
    attempt_of="第 {attempt} 次，共 {allowed} 次",
    took="耗时",
    retry_in="重试间隔",
    time="时间",
    error="错误",
    no_error="没有错误信息",
    traceback="堆栈",
    stderr="stderr 末尾",
    others="其他",
    first_tasks="前 {count} 个",
    more="另有 {count:,} 个",
    undelivered="此前未能送达的通知：{count:,} 条",
    breaker_opened="熔断：任务类型已暂停：{type}",
    breaker_opened_more="任务类型 {type} 已暂停：连续失败 {failures} 次，"
    "{seconds} 后试运行一个任务。最后的错误：{error}",
    breaker_closed="任务成功，熔断解除，任务类型已恢复：{type}",
)

LANGUAGES = {"en": ENGLISH, "zh": CHINESE}
