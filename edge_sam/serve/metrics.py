"""Figures for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The figures of one server, in a registry of its own.

    Attributes
    ----------
    requests : Counter
        Answered requests by ``method``, ``route`` and ``status``.
    seconds : Histogram
        Duration of requests by ``route``.
    stages : Histogram
        Duration of one stage by ``stage``: read, preprocess, encode, match, decode, upsample,
        format.
    lookups : Counter
        Look-ups of images by ``result``: hit, miss.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "edge_sam_requests", "Answered requests.", ("method", "route", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "edge_sam_request_seconds", "Duration of requests.", ("route",), buckets=_SECONDS, registry=self._registry
        )
        self.stages = Histogram(
            "edge_sam_stage_seconds", "Duration of one stage.", ("stage",), buckets=_SECONDS, registry=self._registry
        )
        self.lookups = Counter("edge_sam_image_lookups", "Look-ups of images.", ("result",), registry=self._registry)

    def watch(self, name: str, help: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        """Add a gauge whose values are read when they are asked for."""

        class Gauge(Collector):
            def collect(self) -> list[GaugeMetricFamily]:
                family = GaugeMetricFamily(name, help, labels=(label,))
                for key, value in values().items():
                    family.add_metric((key,), value)
                return [family]

        self._registry.register(Gauge())

    def observe(self, timings: Mapping[str, float]) -> None:
        """Count the milliseconds of stages."""
        for stage, milliseconds in timings.items():
            self.stages.labels(stage).observe(milliseconds / 1000)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)
