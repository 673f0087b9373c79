"""HTTP requests and mails that leave this process: bounded in time and size, signed, and only to where they may go."""

from gridsidecar.outbound.client import HttpClient
from gridsidecar.outbound.egress_policy import EgressPolicy
from gridsidecar.outbound.reply import NotSent, NotTried, Reply, TargetRefused
from gridsidecar.outbound.signature import signed_headers

__all__ = ["EgressPolicy", "HttpClient", "NotSent", "NotTried", "Reply", "TargetRefused", "signed_headers"]
