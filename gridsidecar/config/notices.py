"""The settings of notices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gridsidecar.config.section import Section
from gridsidecar.config.values import NonNegative, NoticeEvent, Number, TaskType


class NoticeSettings(Section):
    """One channel for notices about tasks."""

    type: Literal["feishu", "webhook", "email"] = Field(
        description="feishu (or Lark) sends a card, webhook a JSON object, email a mail."
    )
    url: str | None = Field(default=None, description="Where feishu and webhook send to.")
    secret: str | None = Field(default=None, description="Key of the signature; null = none.")
    smtp_url: str | None = Field(
        default=None, description="smtp:// (STARTTLS where offered) or smtps://user:password@host:port, for email."
    )
    sender: str | None = Field(default=None, alias="from", description="The mail's sender, for email.")
    to: list[str] = Field(
        default=[],
        description="The mail's receivers, for email. A template as {callback_data.email} names one for each task.",
    )
    allow_to: list[str] = Field(
        default=[],
        description="Whom templates in to may name: domains, *.domain (all below it) and addresses. They need it.",
    )
    max_recipients: Annotated[int, Field(ge=1, le=10_000), Number] = Field(
        default=100, description="Most receivers whom tasks name at a time, each for an interval; others get nothing."
    )
    subject: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="Template of the subject, or the card's title, where one task is told; null = our own.",
    )
    text: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="Template of what is said of each task; null = our own."
    )
    on: Annotated[list[NoticeEvent], Field(min_length=1)] = Field(
        default=["failed"], description="What is told: failed, success, retrying, cancelled."
    )
    task_types: list[TaskType] = Field(default=[], description="Only tasks of these types; none = all.")
    interval: NonNegative = Field(
        default=60, description="Seconds between two messages; what happens meanwhile comes in one digest."
    )
