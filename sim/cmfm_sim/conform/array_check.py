"""Arrays: number, order, dtype, shape and bytes, and what a wrong one looks like."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire.frame import ARRAY_RULES, Frame
from cmfm_sim.conform.heard import Heard
from cmfm_sim.conform.report_lines import CheckLog, ReportLine

TABLE: Final = "rgb |u1 [H, W, 3] sRGB none; xyz <f4 [H, W, 3] m nan|0,0,0"
RING_PX: Final = 1 << 20
"""Default of the worker's `ring.max_pixels`."""

SMOOTHER: Final = 0.6
"""Share of the roughness that a picture keeps when it is read in its real layout."""


class ArrayCheck:
    """Compares descriptions and message frames with the table of WIRE.md."""

    def __init__(self) -> None:
        self._log = CheckLog("arrays", "Array description")
        self._sizes: Counter[tuple[int, ...]] = Counter()

    def frame(self, heard: Heard) -> None:
        """Check descriptions, lengths and order."""
        count = len(heard.frames) - 2
        if count not in (2, 3):
            self._wrong_count(heard, count)
        given = heard.raw.get("arrays")
        if not isinstance(given, list):
            return
        names = [str(item.get("name")) for item in given if isinstance(item, dict)]
        if sorted(names) == ["rgb", "xyz"] and names != ["rgb", "xyz"]:
            self._log.fail("xyz is described before rgb", "describe and send rgb first", heard.name)
        for rule in ARRAY_RULES:
            for spec in (item for item in given if isinstance(item, dict) and item.get("name") == rule.name):
                self._description(heard, spec, rule.dtypes[0], rule.unit, rule.invalid)
        self._lengths(heard, given)

    def decoded(self, heard: Heard, frame: Frame) -> None:
        """Look at the pictures of a readable frame."""
        self._sizes[frame.rgb.shape[:2]] += 1
        if frame.rgb.shape[0] * frame.rgb.shape[1] > RING_PX:
            self._log.remark(
                f"frames above {RING_PX} pixels", "raise [ring] max_pixels, or they are FAULT oversize"
            )
        if frame.rgb.min() == frame.rgb.max():
            self._log.remark(
                "rgb has one value in every pixel",
                "is it a picture? look at exposure and buffers",
                heard.name,
            )
        elif layout := _better_layout(frame.rgb):
            self._log.fail(
                f"rgb looks like {layout}", "send [H, W, 3], row by row, channels last", heard.name
            )

    def lines(self) -> list[ReportLine]:
        """The report."""
        sizes = ", ".join(f"{h} × {w}" for h, w in self._sizes)
        if len(self._sizes) > 1:
            self._log.remark(
                f"frames of {len(self._sizes)} sizes: {sizes}",
                "a recipe knows one size; frames of another are FAULT other_geometry",
            )
        return self._log.lines(f"rgb and xyz of {sizes} pixels" if self._sizes else "")

    def _wrong_count(self, heard: Heard, count: int) -> None:
        inside = [key for key, value in heard.raw.items() if isinstance(value, bytes) and len(value) > 64]
        if inside:
            self._log.fail(
                f"arrays inside the header: {', '.join(inside)}",
                "send rgb and xyz as message frames of their own",
            )
        else:
            self._log.fail(
                f"{max(count, 0)} message frames after the header",
                "send [topic][header][rgb][xyz], and [seal] if you seal",
                heard.name,
            )

    def _description(
        self, heard: Heard, spec: Mapping[str, Any], dtype: str, unit: str, invalid: str
    ) -> None:
        name, shape = spec["name"], spec.get("shape")
        if spec.get("dtype") != dtype:
            self._log.fail(f"{name} has dtype {spec.get('dtype')!r} instead of {dtype!r}", TABLE, heard.name)
        if spec.get("unit") != unit:
            self._log.fail(f"{name} has unit {spec.get('unit')!r} instead of {unit!r}", TABLE, heard.name)
        if spec.get("invalid") != invalid:
            self._log.fail(f"{name} has invalid {spec.get('invalid')!r} instead of {invalid!r}", TABLE)
        if isinstance(shape, list) and (len(shape) != 3 or shape[-1] != 3):
            do = "channels last: [H, W, 3]" if shape and shape[0] == 3 else TABLE
            if shape and shape[-1] == 4:
                do = "three channels, no alpha: [H, W, 3]"
            self._log.fail(f"{name} has shape {shape}", do, heard.name)

    def _lengths(self, heard: Heard, given: Sequence[Any]) -> None:
        announced = [item.get("nbytes") for item in given if isinstance(item, dict)]
        arrived = [memoryview(data).nbytes for data in heard.frames[2:4]]
        if len(announced) != 2 or len(arrived) != 2 or announced == arrived:
            return
        if announced == arrived[::-1]:
            self._log.fail("the message frames of rgb and xyz are exchanged", "send rgb first", heard.name)
        else:
            self._log.fail(
                f"{arrived[0]} and {arrived[1]} bytes arrived, {announced[0]} and {announced[1]} were announced",
                "nbytes is the length of the message frame, without padding of rows",
                heard.name,
            )


def _better_layout(rgb: NDArray[np.uint8]) -> str:
    """The layout in which a picture is much smoother than in the one announced; "" if in none."""
    height, width = rgb.shape[:2]
    if min(height, width) < 16:
        return ""
    now = _roughness(rgb)
    if height != width and _roughness(rgb.reshape(width, height, 3)) < SMOOTHER * now:
        return f"[{width}, {height}, 3]: rows and columns are exchanged"
    if _roughness(np.moveaxis(rgb.reshape(3, height, width), 0, -1)) < SMOOTHER * now:
        return "three pictures one after the other: channels first"
    return ""


def _roughness(rgb: NDArray[np.uint8]) -> float:
    """Mean difference between neighbours in columns and rows, of a sample of the rows."""
    step = max(rgb.shape[0] // 64, 1)
    upper, lower = (rgb[at::step][: rgb.shape[0] // step - 1].astype(np.int16) for at in (0, 1))
    beside = np.abs(upper[:, 1:] - upper[:, :-1]).mean()
    return float(beside + np.abs(upper - lower).mean())
