"""Prometheus metrics and probes of a camera, read at scrape time."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cmfm_cameras.device_thread import DeviceThread
from cmfm_cameras.errors import Refusal
from cmfm_cameras.publisher import Counts
from cmfm_service.http import Health, application, serve_http
from cmfm_settings.http_section import HttpSection

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


class CameraCollector(Collector):
    """Makes counters and gauges from what the publisher counts, and what the device counts by itself."""

    def __init__(self, counts: Counts, device_counts: Callable[[], Mapping[str, int]] = dict) -> None:
        self._counts, self._device_counts = counts, device_counts

    def collect(self) -> Iterator[Metric]:
        """Yield the families of one scrape."""
        counts = self._counts
        for name, words, value in (
            ("captures", "Frames that the device delivered", counts.captures),
            ("published", "Frames sent to the worker", counts.published),
            ("dropped", "Frames that the worker did not take in time", counts.dropped),
            ("skipped", "Triggers whose frame the device lost", counts.skipped),
            ("opened", "Times that the device was opened", counts.opened),
            ("device_lost", "Times that the device was gone", counts.device_lost),
            ("clock_refused", "Times of the device that were not believed", counts.clock_refused),
        ):
            yield CounterMetricFamily(f"cmfm_camera_{name}", words, value=value)
        refused = CounterMetricFamily("cmfm_camera_refused", "Captures not published", labels=["reason"])
        for reason in Refusal:
            refused.add_metric([str(reason)], counts.refused[reason])
        yield refused
        events = CounterMetricFamily(
            "cmfm_camera_device_events", "Counts of the device itself", labels=["what"]
        )
        for what, value in sorted(self._device_counts().items()):
            events.add_metric([what], value)
        yield events
        yield GaugeMetricFamily("cmfm_camera_device_open", "1 while the device is open", value=counts.is_open)
        if counts.last_frame_s is not None:
            yield GaugeMetricFamily(
                "cmfm_camera_last_frame_age_seconds",
                "Seconds since the newest frame",
                value=time.monotonic() - counts.last_frame_s,
            )


def page(counts: Counts, device: DeviceThread, hang_limit_s: float) -> "WSGIApplication":
    """Return the WSGI application of `/metrics`, `/livez` (the driver replies) and `/readyz` (the device is open)."""
    registry = CollectorRegistry()
    registry.register(CameraCollector(counts, device.device_counts))

    def live() -> Health:
        age_s = device.call_age_s()
        return Health(age_s <= hang_limit_s, f"a call into the driver takes {age_s:.1f} s")

    def ready() -> Health:
        return Health(
            counts.is_open, f"open: {counts.device}" if counts.is_open else "the device is not open"
        )

    return application(make_wsgi_app(registry), {"/livez": live, "/readyz": ready})


def serve_metrics(
    section: HttpSection, counts: Counts, device: DeviceThread, hang_limit_s: float
) -> Callable[[], None]:
    """Serve the page if the settings name a port; returns what stops it. Raises StartupError if the port is taken."""
    if not section.port:
        return lambda: None
    return serve_http(section.host, section.port, page(counts, device, hang_limit_s))[1]
