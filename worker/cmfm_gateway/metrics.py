"""Prometheus metrics and probes of the gateway, read at scrape time."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cmfm_gateway.gateway import Gateway
from cmfm_gateway.line_view import Cause
from cmfm_service.http import Health, application, serve_http

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


class GatewayCollector(Collector):
    """Makes counters and gauges from the gateway's store, view and counts."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterator[Metric]:
        """Yield the families of one scrape."""
        gateway = self._gateway
        view, newest = gateway.view, gateway.store.newest()
        yield GaugeMetricFamily(
            "cmfm_gateway_line_valid", "1 while verdicts may be acted on", value=view.valid
        )
        causes = GaugeMetricFamily("cmfm_gateway_line_cause", "1 for the present cause", labels=["cause"])
        for cause in Cause:
            causes.add_metric([str(cause) or "none"], float(view.cause is cause))
        yield causes
        yield CounterMetricFamily("cmfm_gateway_results", "Results stored, over all starts", value=newest)
        yield CounterMetricFamily(
            "cmfm_gateway_results_lost", "Results that were never received", value=view.lost
        )
        waiting = GaugeMetricFamily(
            "cmfm_gateway_unconfirmed", "Results that a consumer has not confirmed", labels=["consumer"]
        )
        for consumer, number in gateway.store.cursors.items():
            waiting.add_metric([consumer], newest - number)
        yield waiting
        deleted = CounterMetricFamily(
            "cmfm_gateway_deleted_unconfirmed",
            "Results deleted before they were confirmed",
            labels=["consumer"],
        )
        for consumer, number in gateway.store.deleted_unconfirmed.items():
            deleted.add_metric([consumer], number)
        yield deleted
        yield CounterMetricFamily(
            "cmfm_gateway_second_results",
            "Results not passed on because their trigger had another one",
            value=gateway.store.second_results,
        )
        events = CounterMetricFamily("cmfm_gateway_events", "What adapters count", labels=["adapter", "what"])
        for (adapter, what), count in list(gateway.counts.items()):
            events.add_metric([adapter, what], count)
        yield events


def page(gateway: Gateway) -> "WSGIApplication":
    """Return the WSGI application of `/metrics`, `/livez` (the process runs) and `/readyz` (the line is valid)."""
    registry = CollectorRegistry()
    registry.register(GatewayCollector(gateway))

    def ready() -> Health:
        view = gateway.view
        return Health(view.valid, "ready" if view.valid else f"not valid: {view.cause}")

    return application(make_wsgi_app(registry), {"/livez": lambda: Health(True, "running"), "/readyz": ready})


def serve_metrics(gateway: Gateway) -> Callable[[], None]:
    """Serve the page if the settings name a port; returns what stops it. Raises StartupError if the port is taken."""
    section = gateway.settings.metrics
    if not section.port:
        return lambda: None
    return serve_http(section.host, section.port, page(gateway))[1]
