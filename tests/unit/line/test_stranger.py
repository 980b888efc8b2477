"""A line with a camera that knows only WIRE.md, and not all of it: whatever it sends, the account holds."""

import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.made.recipes import frames
from tests.unit.made.service import Outside, line_settings, serve
from tests.unit.made.stranger import Stranger

from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.errors import ExitCode

KINDS = {
    "good": 40,
    "again": 4,  # the same message twice
    "other bytes": 3,  # the same number and part, another picture
    "old bytes": 4,  # the next part with the picture of one before
    "old points": 3,
    "two parts": 3,  # the same number for another part
    "back": 3,  # a number of long ago
    "ahead": 2,
    "skip": 3,
    "junk": 4,
    "told before": 5,
    "told after": 5,
    "told otherwise": 3,
    "beat": 5,
    "beat ahead": 2,
    "reboot": 2,
    "16 bit": 1,
}
NEVER_INSPECTED = {"old bytes", "old points", "told otherwise", "16 bit"}
"""Kinds whose part cannot have been inspected rightly, however it came."""


class Mischief:
    """Draws what a stranger does, by seed; `allowed` are the parts that may be inspected."""

    def __init__(self, stranger: Stranger, seed: int) -> None:
        self.allowed: set[str] = set()
        self._stranger = stranger
        self._rng = random.Random(seed)
        self._noise = np.random.default_rng(seed)
        self._rgb, self._xyz = (tensor.numpy()[0] for tensor in frames(1))
        self._pictures: list[tuple[Any, Any]] = []
        self._parts = 0

    @property
    def sent(self) -> set[str]:
        """The parts of which a readable frame was sent."""
        return set(self._stranger.sent)

    def act(self) -> None:
        kind = self._rng.choices(list(KINDS), list(KINDS.values()))[0]
        if kind.startswith("old") and not self._pictures:
            kind = "good"
        stranger, rng = self._stranger, self._rng
        if kind == "junk":
            stranger.junk(*[rng.randbytes(rng.randrange(200)) for _ in range(rng.randrange(4))])
            return
        if kind in ("beat", "beat ahead"):
            stranger.beat(stranger.seq + (rng.choice([1, 2, 300, 5000]) if kind == "beat ahead" else 0))
            return
        if kind == "reboot":
            stranger.stream, stranger.seq = rng.choice([stranger.stream, f"boot{self._parts}"]), 0
        if kind == "skip":
            stranger.seq += rng.choice([1, 2, 30])
        self._part(kind)

    def _part(self, kind: str) -> None:
        stranger, rng = self._stranger, self._rng
        part = f"p{self._parts} {kind}"
        self._parts += 1
        header = stranger.header(part)
        if kind == "back":
            header["seq"] = rng.randrange(stranger.seq + 1)
        elif kind == "ahead":
            header["seq"] = stranger.seq + rng.choice([2, 500, 5000, 1 << 40])
        elif kind == "16 bit":
            header["seq"] = rng.choice([65_534, 65_535, 0, 1])
        picture = self._picture(kind)
        if kind in ("told before", "told otherwise"):
            stranger.trigger(header if kind == "told before" else header | {"part_id": f"not {part}"})
        stranger.frame(header, *picture)
        if kind == "told after":
            stranger.trigger(header)
        elif kind == "again":
            stranger.frame(header, *picture)
        elif kind == "other bytes":
            stranger.frame(header, *self._picture("good"))
        elif kind == "two parts":
            stranger.frame(stranger.header(f"{part} second"), *self._picture("good"))
        if kind not in NEVER_INSPECTED:
            self.allowed |= {part, f"{part} second"}
        if kind not in ("back", "ahead", "16 bit"):
            stranger.seq += 1

    def _picture(self, kind: str) -> tuple[Any, Any]:
        rgb = self._rgb + self._noise.integers(0, 2, self._rgb.shape, np.uint8)
        xyz = self._xyz + self._noise.normal(0, 1e-6, self._xyz.shape).astype(np.float32)
        if self._pictures and kind == "old bytes":
            return self._rng.choice(self._pictures)
        if self._pictures and kind == "old points":
            xyz = self._pictures[-1][1]
        self._pictures.append((rgb, xyz))
        return rgb, xyz


@pytest.mark.parametrize("seed", range(3))
def test_account_holds_whatever_a_stranger_sends(tmp_path: Path, seed: int) -> None:
    """Each number has at most one result, each readable part at least one, and only clean parts are inspected."""
    settings = line_settings(tmp_path)
    intake = settings.intake.model_copy(update={"repeated": "fault"})
    settings = settings.model_copy(update={"intake": intake})
    told: list[Mischief] = []

    def act(outside: Outside) -> None:
        assert outside._camera.poll(20_000)
        stranger = Stranger(outside._camera)
        mischief = Mischief(stranger, seed)
        told.append(mischief)
        for _ in range(120):
            mischief.act()
            threading.Event().wait(0.01)
        threading.Event().wait(0.5)
        outside.signal()

    outside = Outside(settings, act)
    ended = serve(settings)
    outside.end()
    assert ended.code is ExitCode.OK
    (mischief,) = told
    results = heard_all(tmp_path)
    numbers = Counter((stream, seq) for stream, seq, *_ in results if stream != UNATTRIBUTED_STREAM)
    assert [key for key, count in numbers.items() if count > 1] == []
    named = {part for _, _, part, _, _ in results}
    details = [detail for *_, detail in results]
    # Two parts that are told for one number have one result, which names both.
    unheard = {part for part in mischief.sent if part not in named and not any(part in d for d in details)}
    assert unheard == set()
    inspected = {part for _, _, part, verdict, _ in results if verdict != Verdict.FAULT}
    assert inspected
    assert inspected - mischief.allowed == set()


def heard_all(folder: Path) -> list[tuple[str, int, str, str, str]]:
    """All results of the line, from its ledger."""
    import sqlite3

    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        rows = connection.execute("SELECT stream_uuid, seq, part_id, verdict, detail FROM triggers")
        return rows.fetchall()
