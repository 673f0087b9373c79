"""What Kubernetes and KEDA say of objects, by their own schemas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jsonschema
import kubernetes_validate

from tests.support.keda import SCHEMAS

Object = dict[str, Any]
OLDEST = "1.27"
VERSIONS = [OLDEST, kubernetes_validate.latest_version()]


def validate(objects: Iterable[Object], version: str) -> None:
    """ValidationError of either library, for what would be refused."""
    for each in objects:
        if each["apiVersion"].startswith("keda.sh/"):
            jsonschema.validate(each, SCHEMAS[each["kind"]])
        for core in core_objects([each]):
            kubernetes_validate.validate(core, version, strict=True)


def core_objects(objects: Iterable[Object]) -> list[Object]:
    """Those of Kubernetes itself, and what KEDA makes of its own."""
    found = []
    for each in objects:
        match each["kind"]:
            case "ScaledObject":
                found.append(_autoscaler(each))
            case "ScaledJob":
                job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": each["metadata"]["name"]}}
                found.append({**job, "spec": each["spec"]["jobTargetRef"]})
            case "TriggerAuthentication":
                pass
            case _:
                found.append(each)
    return found


def _autoscaler(scaled: Object) -> Object:
    """The HorizontalPodAutoscaler that KEDA makes of a ScaledObject."""
    spec = scaled["spec"]
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": scaled["metadata"]["name"]},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", **spec["scaleTargetRef"]},
            "maxReplicas": spec["maxReplicaCount"],
            "behavior": spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {}).get("behavior", {}),
        },
    }
