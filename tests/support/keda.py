"""What KEDA 2.14 and later takes, as its reference says: the fields that our manifests use, and no others."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER_AS_TEXT: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}  # metadata of a trigger is text only


def _object(*required: str, **properties: Schema) -> Schema:
    return {"type": "object", "required": list(required), "additionalProperties": False, "properties": properties}


def _list(item: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": item}


def _one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def _keda(kind: str, spec: Schema) -> Schema:
    metadata: Schema = {"type": "object", "required": ["name"]}
    version = {"const": "keda.sh/v1alpha1"}
    head = {"apiVersion": version, "kind": {"const": kind}, "metadata": metadata}
    return _object("apiVersion", "kind", "metadata", "spec", **head, spec=spec)


def _trigger(kind: str, metadata: Schema) -> Schema:
    reference = _object("name", name=TEXT)
    return _object("type", "metadata", type={"const": kind}, metadata=metadata, authenticationRef=reference)


RABBITMQ = _object(
    "protocol",
    "queueName",
    "mode",
    "value",
    protocol=_one_of("http", "amqp", "auto"),
    queueName=TEXT,
    mode=_one_of("QueueLength", "MessageRate"),
    value=NUMBER_AS_TEXT,
    activationValue=NUMBER_AS_TEXT,
    excludeUnacknowledged=_one_of("true", "false"),
    vhostName=TEXT,
    host=TEXT,
)
MYSQL = _object(
    "query", "queryValue", query=TEXT, queryValue=NUMBER_AS_TEXT, activationQueryValue=NUMBER_AS_TEXT, dbName=TEXT
)
TRIGGERS = _list({"anyOf": [_trigger("rabbitmq", RABBITMQ), _trigger("mysql", MYSQL)]})

# An HPA's own object: Kubernetes' schema is asked about it.
BEHAVIOUR: Schema = {"type": "object"}

SCHEMAS: dict[str, Schema] = {
    "TriggerAuthentication": _keda(
        "TriggerAuthentication",
        _object(
            "secretTargetRef",
            secretTargetRef=_list(_object("parameter", "name", "key", parameter=TEXT, name=TEXT, key=TEXT)),
        ),
    ),
    "ScaledObject": _keda(
        "ScaledObject",
        _object(
            "scaleTargetRef",
            "triggers",
            scaleTargetRef=_object("name", name=TEXT, kind=TEXT, apiVersion=TEXT, envSourceContainerName=TEXT),
            minReplicaCount=COUNT,
            maxReplicaCount=COUNT,
            pollingInterval=COUNT,
            cooldownPeriod=COUNT,
            advanced=_object(
                horizontalPodAutoscalerConfig=_object(name=TEXT, behavior=BEHAVIOUR),
                restoreToOriginalReplicaCount={"type": "boolean"},
            ),
            triggers=TRIGGERS,
        ),
    ),
    "ScaledJob": _keda(
        "ScaledJob",
        _object(
            "jobTargetRef",
            "triggers",
            jobTargetRef={"type": "object", "required": ["template"]},  # a Job's spec: Kubernetes' schema is asked
            minReplicaCount=COUNT,
            maxReplicaCount=COUNT,
            pollingInterval=COUNT,
            successfulJobsHistoryLimit=COUNT,
            failedJobsHistoryLimit=COUNT,
            rollout=_object(
                strategy=_one_of("default", "gradual"), propagationPolicy=_one_of("background", "foreground")
            ),
            scalingStrategy=_object(
                strategy=_one_of("default", "custom", "accurate", "eager"),
                multipleScalersCalculation=_one_of("max", "min", "avg", "sum"),
            ),
            triggers=TRIGGERS,
        ),
    ),
}
