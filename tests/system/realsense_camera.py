"""`cmfm-camera --config …` on librealsense's software device, which shows a part four times a second."""

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.unit.made.known_scene import Cube, KnownScene, Plane, View, turn
from tests.unit.made.software_realsense import Parts, SoftwareRealsense, seen

from cmfm_cameras.adapters.realsense import RealsenseDevice
from cmfm_cameras.run import serve, stop_signals
from cmfm_cameras.settings.load import load_with_sources
from cmfm_service.log import logging_to_stderr

DEPTH_VIEW = View(width_px=240, height_px=240, fx_px=260.0, fy_px=260.0, cx_px=119.5, cy_px=119.5)
COLOR_VIEW = replace(DEPTH_VIEW, translation_m=np.array([0.002, 0.0, 0.0]))
VIEWS = {"depth_view": DEPTH_VIEW, "color_view": COLOR_VIEW, "color_model": "none"}

PERIOD_S = 0.25


def moments() -> Iterator[Parts]:
    """A cube on a plane, again and again with other noise: a line takes the same bytes for a camera that hangs."""
    scene = KnownScene([Plane((0.0, 0.0, 1.0), 0.05), Cube((0.0, 0.0, 0.046), 0.012, turn(z_deg=20.0))])
    parts = seen(scene, DEPTH_VIEW, COLOR_VIEW)
    for number in range(1_000_000):
        random = np.random.default_rng(number)
        depth = parts.depth + random.integers(0, 3, parts.depth.shape, np.uint16)
        color = np.clip(parts.color + random.integers(-6, 7, parts.color.shape), 0, 255)
        yield Parts(depth, color.astype(np.uint8))


def main(config: Path) -> None:
    """Run the camera until SIGTERM."""
    settings = load_with_sources(config).settings
    software = SoftwareRealsense(**VIEWS)  # type: ignore[arg-type]
    ended, is_open = threading.Event(), threading.Event()

    def show() -> None:
        for number, parts in enumerate(moments(), start=1):
            while not is_open.wait(0.1):
                if ended.is_set():
                    return
            software.both(parts, number)
            if ended.wait(PERIOD_S):
                return

    def opened() -> RealsenseDevice:
        device = RealsenseDevice(software.device, settings.realsense)
        is_open.set()
        return device

    shows = threading.Thread(target=show)
    shows.start()
    try:
        with logging_to_stderr(settings.log.format, settings.log.level), stop_signals() as stopped:
            serve(settings, opened, stopped.is_set)
    finally:
        ended.set()
        shows.join()


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
