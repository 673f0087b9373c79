"""`gridsidecar manifests`: what runs a configuration on Kubernetes, with compose or under systemd."""

from gridsidecar.manifests.application import Application
from gridsidecar.manifests.kinds import KINDS
from gridsidecar.manifests.source import Source, read_source

__all__ = ["KINDS", "Application", "Source", "read_source"]
