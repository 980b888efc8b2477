"""Prometheus metrics and probes of a photo-eye, read at scrape time."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cmfm_cameras.photo_eye.eye import PhotoEye
from cmfm_service.http import Health, application, serve_http
from cmfm_settings.http_section import HttpSection

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

OUTCOMES: Final = ("announced", "no_camera", "late", "no_subscriber", "queue_full", "refused", "no_reply")


class EyeCollector(Collector):
    """Makes counters and gauges from what the photo-eye counts."""

    def __init__(self, eye: PhotoEye) -> None:
        self._eye = eye

    def collect(self) -> Iterator[Metric]:
        """Yield the families of one scrape."""
        counts, steps = self._eye.counts, self._eye.steps.counts
        for name, words, value in (
            ("edges", "Parts that the photo-eye has seen", counts.edges),
            ("input_lost", "Times that the input was gone", counts.input_lost),
            ("camera_missed", "Triggers that the camera did not count", steps.camera_missed),
            (
                "eye_missed",
                "Triggers that the camera counted and the photo-eye did not see",
                steps.eye_missed,
            ),
            ("streams", "Streams of the camera that were heard", steps.streams),
        ):
            yield CounterMetricFamily(f"cmfm_trigger_{name}", words, value=value)
        parts = CounterMetricFamily("cmfm_trigger_parts", "Parts by what became of them", labels=["outcome"])
        for outcome in OUTCOMES:
            parts.add_metric([outcome], counts.outcomes[outcome])
        yield parts
        yield GaugeMetricFamily("cmfm_trigger_input_open", "1 while the input is open", value=counts.is_open)
        if counts.last_edge_s is not None:
            yield GaugeMetricFamily(
                "cmfm_trigger_last_edge_age_seconds",
                "Seconds since the newest part",
                value=time.monotonic() - counts.last_edge_s,
            )


def page(eye: PhotoEye) -> "WSGIApplication":
    """Return the WSGI application of `/metrics`, `/livez` (the process runs) and `/readyz` (input and camera)."""
    registry = CollectorRegistry()
    registry.register(EyeCollector(eye))

    def ready() -> Health:
        if not eye.counts.is_open:
            return Health(False, "the input is not open")
        if not eye.steps.stream_uuid:
            return Health(False, "no heartbeat of the camera: its stream is not known")
        return Health(True, "ready")

    return application(make_wsgi_app(registry), {"/livez": lambda: Health(True, "running"), "/readyz": ready})


def serve_metrics(section: HttpSection, eye: PhotoEye) -> Callable[[], None]:
    """Serve the page if the settings name a port; returns what stops it. Raises StartupError if the port is taken."""
    if not section.port:
        return lambda: None
    return serve_http(section.host, section.port, page(eye))[1]
