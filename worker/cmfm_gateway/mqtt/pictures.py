"""Pictures of parts on request: from the worker's folder of kept parts, or drawn from the newest maps.

The folder has the camera's picture at full size, for as long as the worker keeps it; the gateway must be able to read
it. Maps need no folder, but only the newest rejected parts are there, and only those whose maps were not dropped.
"""

import io
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import structlog
from PIL import Image

from cmfm_client import ResultSubscriber, SubscriberOptions
from cmfm_gateway.feed import read_keys
from cmfm_gateway.settings.model import GatewaySettings
from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_protocol.files.picture_files import read_png
from cmfm_protocol.pictures.panels import maps_panel
from cmfm_protocol.wire.anomaly_map import AnomalyMaps
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.verdict import Verdict

POLL_S: Final = 0.25
SMALLEST_PX: Final = 16
"""A picture is not made smaller than this, however small the limit."""

_NOT_IN_NAMES: Final = re.compile(r"[^0-9A-Za-z-]")


@dataclass(frozen=True, slots=True)
class Picture:
    """One part's picture as PNG. `source`: `archive` is the camera's picture, `maps` a panel drawn from the maps."""

    png: bytes
    boot_id: str
    result_id: int
    source: Literal["archive", "maps"]


class ArchivePictures:
    """The worker's folder of kept parts; read only. No path is made of text that came over the wire."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._log = structlog.get_logger("mqtt")

    def find(self, result: Result) -> Picture | None:
        """The camera's picture of a part; None if it was not kept, is gone, or cannot be read."""
        boot = _NOT_IN_NAMES.sub("", result.boot_id) or "boot"
        for folder in self._folder.glob(f"*Z_{boot}_{result.result_id}"):
            try:
                png = _bounded(Image.fromarray(read_png(folder / "rgb.png")), self._max_bytes)
            except (DatasetError, OSError) as error:
                self._log.warning("mqtt_picture_unreadable", folder=str(folder), why=str(error))
                continue
            return Picture(png, result.boot_id, result.result_id, "archive")
        return None


class MapPictures:
    """The maps of the newest rejected parts, received by a thread of its own."""

    def __init__(self, options: SubscriberOptions, *, kept: int, max_bytes: int) -> None:
        self._options = options
        self._kept = kept
        self._max_bytes = max_bytes
        self._maps: OrderedDict[tuple[str, int], AnomalyMaps] = OrderedDict()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._receive, name="mqtt-maps", daemon=True)

    def start(self) -> None:
        """Start to receive."""
        self._thread.start()

    def stop(self) -> None:
        """Stop and wait for the thread."""
        self._stopping.set()
        self._thread.join()

    def keep(self, maps: AnomalyMaps) -> None:
        """Keep the maps of a part that did not pass, and forget the oldest beyond the limit."""
        if maps.verdict is Verdict.PASS:
            return
        with self._lock:
            self._maps[maps.boot_id, maps.result_id] = maps
            while len(self._maps) > self._kept:
                self._maps.popitem(last=False)

    def find(self, result: Result) -> Picture | None:
        """The panel of a part; None if its maps did not come or were forgotten."""
        with self._lock:
            maps = self._maps.get((result.boot_id, result.result_id))
        if maps is None:
            return None
        png = _bounded(maps_panel(maps, f"{result.reason} {result.detail}".strip()), self._max_bytes)
        return Picture(png, result.boot_id, result.result_id, "maps")

    def _receive(self) -> None:
        with ResultSubscriber(self._options) as subscriber:
            while not self._stopping.is_set():
                for event in subscriber.poll(POLL_S):
                    if isinstance(event, AnomalyMaps):
                        self.keep(event)


class Pictures:
    """The sources of pictures, asked in this order: the folder, then the maps."""

    def __init__(self, archive: ArchivePictures | None, maps: MapPictures | None) -> None:
        self._archive = archive
        self._maps = maps

    def find(self, result: Result) -> Picture | None:
        """The picture of a part, None without one. Computes for up to some 0.1 s: call it in a thread."""
        for source in (self._archive, self._maps):
            if source is not None and (picture := source.find(result)) is not None:
                return picture
        return None


@contextmanager
def open_pictures(settings: GatewaySettings) -> Iterator[Pictures]:
    """The sources of pictures that the settings name; maps are received while the context is open."""
    section, max_bytes = settings.mqtt, settings.mqtt.picture_kb * 1000
    archive = maps = None
    if section.pictures and section.archive is not None:
        archive = ArchivePictures(section.archive, max_bytes)
    if section.pictures and section.maps:
        maps = MapPictures(_map_options(settings), kept=section.maps_kept, max_bytes=max_bytes)
        maps.start()
    try:
        yield Pictures(archive, maps)
    finally:
        if maps is not None:
            maps.stop()


def _map_options(settings: GatewaySettings) -> SubscriberOptions:
    """A subscriber that is there for the maps: results that it misses are not asked for."""
    worker = settings.worker
    return SubscriberOptions(
        results=worker.results,
        maps=settings.mqtt.maps,
        topics=topic(worker.line, worker.station, "map").removesuffix(b"map/"),
        keys=read_keys(worker),
    )


def _bounded(image: Image.Image, max_bytes: int) -> bytes:
    """The picture as PNG of at most `max_bytes`, made smaller until it fits or is tiny."""
    while True:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        if buffer.tell() <= max_bytes or max(image.size) <= SMALLEST_PX:
            return buffer.getvalue()
        image = image.resize((max(image.width * 2 // 3, 1), max(image.height * 2 // 3, 1)))
