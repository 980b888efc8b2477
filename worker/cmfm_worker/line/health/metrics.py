"""Prometheus metrics: the same totals as the heartbeat, read at scrape time (`http` serves them)."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Histogram, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.line.health.totals import Totals

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

LATENCY_BUCKETS_S: Final = (
    0.005,
    0.01,
    0.02,
    0.035,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    0.75,
    1.0,
    2.0,
    5.0,
)

LATENESS_BUCKETS_S: Final = (0.0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
"""Bucket 0 holds the verdicts that were in time; 0.005 s after the deadline is the promised limit."""


class LineCollector(Collector):
    """Makes counters and gauges from the totals at scrape time."""

    def __init__(
        self,
        totals: Callable[[], Totals],
        gauges: Callable[[], dict[str, float]],
        sources: Callable[[], dict[str, bool]],
        frame_ages_s: Callable[[], dict[str, float]],
        cameras: Mapping[str, str],
    ) -> None:
        self._totals = totals
        self._gauges = gauges
        self._sources = sources
        self._frame_ages_s = frame_ages_s
        self._cameras = cameras

    def collect(self) -> Iterator[Metric]:
        """Yield the families of one scrape: cmfm_triggers_total is the sum of cmfm_verdicts_total plus cmfm_open."""
        totals = self._totals()  # one value for all families, so that they agree
        yield CounterMetricFamily("cmfm_triggers", "Triggers that became known", value=totals.triggers)
        verdicts = CounterMetricFamily("cmfm_verdicts", "Verdicts published", labels=["verdict"])
        for verdict in Verdict:
            verdicts.add_metric([str(verdict)], totals.verdicts[verdict])
        yield verdicts
        reasons = CounterMetricFamily("cmfm_reasons", "Verdicts by reason code", labels=["reason"])
        for reason, count in totals.reasons.items():
            reasons.add_metric([str(reason)], count)
        yield reasons
        noticed = CounterMetricFamily(
            "cmfm_noticed", "Events that are no trigger of their own", labels=["what"]
        )
        for what, count in totals.noticed.items():
            noticed.add_metric([what], count)
        yield noticed
        yield GaugeMetricFamily("cmfm_open", "Triggers without a verdict", value=totals.open)
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"cmfm_{name}", f"Current {name.replace('_', ' ')}", value=value)
        up = GaugeMetricFamily(
            "cmfm_source_up", "1 while the camera is connected", labels=["endpoint", "camera"]
        )
        for endpoint, alive in self._sources().items():
            up.add_metric([endpoint, self._cameras[endpoint]], float(alive))
        yield up
        ages = GaugeMetricFamily(
            "cmfm_last_frame_age_seconds",
            "Since the camera's last readable frame",
            labels=["endpoint", "camera"],
        )
        for endpoint, age_s in self._frame_ages_s().items():
            ages.add_metric([endpoint, self._cameras[endpoint]], age_s)
        yield ages


class Metrics:
    """Histograms of latency and lateness, and the registry of everything that is scraped."""

    def __init__(self, *collectors: Collector) -> None:
        self._registry = CollectorRegistry()
        for collector in collectors:
            self._registry.register(collector)
        self._latency = Histogram(
            "cmfm_latency_seconds",
            "Trigger to verdict",
            ["verdict"],
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self._lateness = Histogram(
            "cmfm_lateness_seconds",
            "Deadline to verdict on the wire, 0 if in time",
            buckets=LATENESS_BUCKETS_S,
            registry=self._registry,
        )

    def observe(self, result: Result, late_ns: int) -> None:
        """Add a result that was sent `late_ns` after its deadline; zero or less is in time."""
        self._latency.labels(str(result.verdict)).observe(result.latency_us / 1e6)
        self._lateness.observe(max(late_ns, 0) / 1e9)

    def page(self) -> "WSGIApplication":
        """Return the WSGI application that serves a scrape."""
        return make_wsgi_app(self._registry)
