"""HTTP requests and mails that leave this process: bounded in time and size, signed, and only to where they may go."""

from gridsidecar.outbound.client import HttpClient
from gridsidecar.outbound.reply import NotSent, NotTried, Reply, TargetRefused
from gridsidecar.outbound.signature import signed_headers
from gridsidecar.outbound.targets import Targets

__all__ = ["HttpClient", "NotSent", "NotTried", "Reply", "TargetRefused", "Targets", "signed_headers"]
