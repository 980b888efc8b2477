"""Pictures of rejected parts, made from the map messages that follow their verdicts."""

import re
from collections import OrderedDict
from pathlib import Path
from typing import Final

from cmfm_protocol.pictures.panels import maps_panel
from cmfm_protocol.wire.anomaly_map import AnomalyMaps
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.errors import InputError

REMEMBERED: Final = 256
"""Verdicts remembered for the captions of maps to come."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")


class RejectPictures:
    """Writes a picture of every part that did not pass and whose maps come. `folder` is made when needed.

    Raises InputError if it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.saved: list[Path] = []
        self._folder = folder
        self._reasons: OrderedDict[str, str] = OrderedDict()

    def result(self, result: Result) -> None:
        """Note a verdict, for the caption of its picture."""
        if result.map_ref and result.verdict is not Verdict.PASS:
            self._reasons[result.map_ref] = f"{result.reason} {result.detail}".strip()
            while len(self._reasons) > REMEMBERED:
                self._reasons.popitem(last=False)

    def maps(self, maps: AnomalyMaps) -> Path | None:
        """Write the picture of a part; returns its path, None for a part that passed."""
        reason = self._reasons.pop(maps.map_ref, "")
        if maps.verdict is Verdict.PASS:
            return None
        panel = maps_panel(maps, reason)
        path = self._folder / picture_name(maps)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            panel.save(path)
        except OSError as error:
            raise InputError(f"picture {path} cannot be written: {error}") from error
        self.saved.append(path)
        return path


def picture_name(maps: AnomalyMaps) -> str:
    """A file name that no text on the wire can turn into a path: `000017-bagel-test-hole-003-FAIL.png`."""
    part = _UNSAFE.sub("_", maps.part_id).strip("._")[:80] or "part"
    return f"{maps.seq:06d}-{part}-{maps.verdict}.png"
