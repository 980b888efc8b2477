"""The demo as a person sees it, on a terminal and in a pipe."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from tests.unit.made.line_messages import result

from cmfm_client.events import Received
from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.commands.demo_display import ConsoleDisplay
from cmfm_sim.demo_line import DemoFolder
from cmfm_sim.verdict_text import verdict_header, verdict_text


def piped(now: list[float]) -> tuple[ConsoleDisplay, io.StringIO]:
    """A display without a terminal, and what it has printed."""
    out = io.StringIO()
    return ConsoleDisplay(Console(file=out, width=200, highlight=False), lambda: now[0]), out


def test_in_a_pipe_every_step_is_a_line_and_a_long_one_says_how_far_it_is() -> None:
    """A line when a step begins, at most one every ten seconds, and one when it is done; a late note is not printed."""
    now = [0.0]
    display, out = piped(now)
    display.begin("Making parts")
    assert out.getvalue() == "Making parts …\n"
    for done in range(1, 25):
        now[0] += 1.0
        display.progress(done, 24)
    display.done("made parts")
    display.note("too late")
    assert out.getvalue().splitlines() == [
        "Making parts …",
        "Making parts … 10 of 24",
        "Making parts … 20 of 24",
        "✓ made parts",
    ]


def test_a_header_stands_once_over_the_verdicts_and_over_their_columns() -> None:
    """Each name begins where its column begins."""
    display, out = piped([0.0])
    for seq in (1, 2):
        display.event(Received(result(seq, Verdict.FAIL), 0), {})
    head, first, _ = out.getvalue().splitlines()
    assert head.split() == ["verdict", "seq", "part", "truth", "score", "and", "threshold", "latency"]
    assert first.index("FAIL") == head.index("verdict")
    assert first.index(result(1, Verdict.FAIL).part_id or "(part") == head.index("part")
    plain = verdict_text(result(1, Verdict.FAIL), truth="hole").plain
    with_truth = verdict_header(truth=True).plain
    assert plain.index("hole") == with_truth.index("truth")
    assert "truth" not in verdict_header().plain


def test_another_demo_empties_what_the_last_one_left(tmp_path: Path) -> None:
    """Archived frames and pictures of an earlier run go, recipes stay with --keep and are listed."""
    folder = DemoFolder(tmp_path / "demo")
    folder.prepare(keep=False)
    for made in (folder.kept / "part", folder.rejected, folder.recipes / "biscuit"):
        made.mkdir(parents=True)
    (folder.recipes / "biscuit" / "recipe.toml").write_text("")
    folder.prepare(keep=True)
    assert not folder.kept.exists()
    assert not folder.rejected.exists()
    assert folder.taught() == [folder.recipes / "biscuit"]
