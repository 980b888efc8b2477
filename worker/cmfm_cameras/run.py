"""`cmfm-camera --config camera.toml`: run one camera until SIGTERM or SIGINT."""

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from cmfm_cameras.calib_id import with_calib_id
from cmfm_cameras.device import Device, open_device
from cmfm_cameras.device_thread import DeviceThread
from cmfm_cameras.errors import ExitCode, InputError
from cmfm_cameras.fired import fired
from cmfm_cameras.metrics import serve_metrics
from cmfm_cameras.options import options_of
from cmfm_cameras.problems import problems_of
from cmfm_cameras.publisher import Publisher
from cmfm_cameras.settings.load import load_with_sources
from cmfm_cameras.settings.model import CameraSettings
from cmfm_client import Camera
from cmfm_service.log import logging_to_stderr
from cmfm_service.systemd import SystemdNotifier


def run_camera(config: Path, changed: Callable[[CameraSettings], CameraSettings] = lambda same: same) -> int:
    """Run until told to stop; returns the exit code. `changed` is applied to the settings first.

    Raises InputError, StartupError and errors of key files.
    """
    settings = changed(load_with_sources(config).settings)
    if problems := problems_of(settings):
        raise InputError("\n".join(problems))
    settings = with_calib_id(settings)
    with logging_to_stderr(settings.log.format, settings.log.level), stop_signals() as stopped:
        serve(settings, functools.partial(open_device, settings), stopped.is_set)
    return int(ExitCode.OK)


def serve(settings: CameraSettings, opened: Callable[[], Device], stopped: Callable[[], bool]) -> None:
    """Start, publish, stop. Returns after a signal or at the end of a recording.

    Raises BindError if the endpoint is taken, StartupError, DeviceHungError, and errors of the device's thread.
    """
    section = settings.camera
    log = structlog.get_logger("camera")
    notifier = SystemdNotifier.from_environment(os.environ, os.getpid())
    with contextlib.ExitStack() as stack:
        stack.callback(notifier.close)
        camera = stack.enter_context(Camera(options_of(section)))
        opened = fired(settings, camera, opened, stack)
        device = DeviceThread(opened, reopen_max_s=section.reopen_max_s)
        publisher = Publisher(section, camera, device)
        stack.callback(serve_metrics(settings.metrics, publisher.counts, device, section.hang_limit_s))
        stack.callback(_stop_device, device, publisher)
        log.info("camera_started", kind=section.kind, endpoint=camera.endpoint, stream=camera.stream_uuid)
        notifier.ready("running")
        publisher.run(stopped, lambda: notifier.turned(lambda: status_of(publisher)))
        notifier.stopping("stopping")
    log.info("camera_stopped", published=publisher.counts.published, skipped=publisher.counts.skipped)


def status_of(publisher: Publisher) -> str:
    """Return the line that `systemctl status` shows."""
    counts = publisher.counts
    state = counts.device if counts.is_open else "no device"
    return f"{state}: {counts.published} published, {counts.refused.total()} refused, {counts.skipped} lost"


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Set an event at SIGTERM or SIGINT, while the context lasts."""
    stopped = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_device(device: DeviceThread, publisher: Publisher) -> None:
    if not device.stop():
        structlog.get_logger("camera").error("driver_does_not_return", device=publisher.counts.device)
