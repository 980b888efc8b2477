"""Prometheus metrics and probes of the page, read at scrape time."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cmfm_hmi.site import Site
from cmfm_service.http import Health, application, serve_http

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

STUCK_S: Final = 15.0
"""The event loop turns at least once a second; without a turn for so long it hangs."""


class PageCollector(Collector):
    """Makes counters and gauges from the site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def collect(self) -> Iterator[Metric]:
        """Yield the families of one scrape."""
        site, snapshot = self._site, self._site.live.snapshot()
        yield GaugeMetricFamily("cmfm_hmi_live_pages", "Live pages that are open", value=site.board.watchers)
        yield GaugeMetricFamily(
            "cmfm_hmi_worker_heard", "1 while the worker's state comes", value=snapshot.alive
        )
        yield CounterMetricFamily(
            "cmfm_hmi_results_lost", "Results that the page did not receive", value=snapshot.lost
        )
        yield CounterMetricFamily(
            "cmfm_hmi_pictures_drawn", "Pictures of live parts drawn", value=site.board.pictures.drawn
        )
        yield GaugeMetricFamily(
            "cmfm_hmi_read_only",
            "1 while a PLC owns the line and nobody took over",
            value=site.lock.is_read_only,
        )
        yield GaugeMetricFamily(
            "cmfm_hmi_audit_waiting",
            "Changes that the worker's ledger does not have yet; NaN if the store cannot be read",
            value=_waiting(site),
        )
        events = CounterMetricFamily(
            "cmfm_hmi_events", "Logins, refusals, errors of the page", labels=["what"]
        )
        for what, count in list(site.events.items()):
            events.add_metric([what], count)
        yield events


def page(site: Site) -> "WSGIApplication":
    """Return the WSGI application of `/metrics`, `/livez` (the loop turns) and `/readyz` (pages are served)."""
    registry = CollectorRegistry()
    registry.register(PageCollector(site))

    def alive() -> Health:
        age_s = time.monotonic() - site.board.turned_s
        return Health(age_s < STUCK_S, f"the event loop turned {age_s:.1f} s ago")

    return application(make_wsgi_app(registry), {"/livez": alive, "/readyz": alive})


def serve_metrics(site: Site) -> Callable[[], None]:
    """Serve the page if the settings name a port; returns what stops it. Raises StartupError if the port is taken."""
    section = site.settings.metrics
    if not section.port:
        return lambda: None
    return serve_http(section.host, section.port, page(site))[1]


def _waiting(site: Site) -> float:
    try:
        return len(site.audit.waiting())
    except sqlite3.Error:
        return float("nan")
