"""The text that Prometheus reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from gridsidecar.metrics.families import FAMILIES, Family
from gridsidecar.metrics.tally import Series, Value

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposed(series: Series) -> bytes:
    """All of them, in the order of the families."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(series))
    return generate_latest(registry)


class _Numbers(Collector):
    def __init__(self, series: Series) -> None:
        self._values: dict[str, list[tuple[tuple[str, ...], Value]]] = defaultdict(list)
        for key, value in series.items():
            self._values[key[0]].append((key[1:], value))

    def collect(self) -> Iterator[Metric]:
        for name, family in FAMILIES.items():
            if name in self._values:
                yield self._metric(family, sorted(self._values[name], key=lambda each: each[0]))

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def _metric(self, family: Family, values: list[tuple[tuple[str, ...], Value]]) -> Metric:
        if family.kind == "histogram":
            histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
            for labels, value in values:
                histogram.add_metric(labels, _buckets(family, value), sum_value=value[-1])
            return histogram
        made = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
        metric = made(family.name, family.help, labels=family.labels)
        for labels, value in values:
            metric.add_metric(labels, value)
        return metric


def _buckets(family: Family, value: Value) -> list[tuple[str, float]]:
    """Each with all that is below it."""
    buckets, below = [], 0
    for bound, count in zip((*map(str, family.buckets), "+Inf"), value[:-1], strict=True):
        below += count
        buckets.append((bound, below))
    return buckets
