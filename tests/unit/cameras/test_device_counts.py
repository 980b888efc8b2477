"""Counts of a device itself are a metric, over all openings."""

from prometheus_client import CollectorRegistry
from tests.unit.made.scripted_device import ScriptedDevice, capture, openings

from cmfm_cameras.device_thread import DeviceThread, Ended
from cmfm_cameras.errors import DeviceError
from cmfm_cameras.metrics import CameraCollector
from cmfm_cameras.publisher import Counts


class CountingDevice(ScriptedDevice):
    """Counts each capture that is asked for."""

    counts: dict[str, int]

    def capture(self, timeout_s: float):  # type: ignore[no-untyped-def]
        self.counts = {"rows_lost": getattr(self, "counts", {}).get("rows_lost", 0) + 1}
        return super().capture(timeout_s)


def test_counts_add_up_over_openings() -> None:
    """A device that is lost takes nothing of the count with it; one without counts adds nothing."""
    lost = CountingDevice([capture(1), capture(2), DeviceError("unplugged")])
    plain, last = ScriptedDevice([DeviceError("again")]), CountingDevice([capture(1)])
    thread = DeviceThread(openings(lost, plain, last), reopen_max_s=0.01)
    thread.start()
    while not isinstance(thread.next_event(60), Ended):
        pass
    assert thread.stop()
    registry = CollectorRegistry()
    registry.register(CameraCollector(Counts(), thread.device_counts))
    assert registry.get_sample_value("cmfm_camera_device_events_total", {"what": "rows_lost"}) == 5.0
