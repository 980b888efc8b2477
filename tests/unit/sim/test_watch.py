"""Output of the viewer and of summaries, for people and for programs."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tests.unit.made.line_messages import received, result, worker_state

from cmfm_client.events import Damaged, Event, LossCause, Lost, Received
from cmfm_client.received_ids import Missing
from cmfm_protocol.wire.anomaly_map import AnomalyMaps
from cmfm_protocol.wire.state import SourceState
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_sim.accounting import Account, account, compare_with_worker
from cmfm_sim.errors import InputError
from cmfm_sim.pictures import RejectPictures, picture_name
from cmfm_sim.summary import summary_map, summary_view
from cmfm_sim.verdict_text import verdict_text
from cmfm_sim.watch import JsonDisplay, TextDisplay

from .made_values import trigger


def maps(verdict: Verdict = Verdict.FAIL, part_id: str = "bagel-test-hole-003", seq: int = 17) -> AnomalyMaps:
    psi = np.linspace(0, 1, 224 * 224, dtype=np.float32).reshape(224, 224)
    return AnomalyMaps(
        map_ref=f"boot/{seq + 1}",
        result_id=seq + 1,
        boot_id="boot",
        stream_uuid="stream",
        seq=seq,
        part_id=part_id,
        recipe="bagel",
        threshold=0.5,
        score=0.75 if verdict is Verdict.FAIL else 0.25,
        verdict=verdict,
        psi=psi,
        psi_2d=psi,
        psi_3d=psi,
        rgb=np.full((224, 224, 3), 90, np.uint8),
        depth=psi + 0.3,
        foreground=np.ones((224, 224), np.bool_),
    )


def words(text: str) -> list[str]:
    return text.split()


def truth_styles(verdict: Verdict) -> list[str]:
    text = verdict_text(result(1, verdict), truth="hole")
    return [str(span.style) for span in text.spans if "hole" in text.plain[span.start : span.end]]


def shown(*events: Event) -> str:
    out = io.StringIO()
    display = TextDisplay(Console(file=out, width=200))
    for event in events:
        display.show(event)
    return out.getvalue()


def test_a_line_names_the_camera() -> None:
    """On a line with two cameras each verdict is that of one; a part whose stream was never heard has none."""
    assert verdict_text(result(3, camera="left")).plain.split()[-3:] == ["20.0", "ms", "left"]
    lost = verdict_text(result(4, Verdict.FAULT, camera="left")).plain.split()
    assert lost[-2:] == ["left", "lost"]


def test_a_line_says_what_became_of_a_part_and_why() -> None:
    """Verdict, number, part, score against threshold, latency; the reason where it was not decided."""
    assert verdict_text(result(3, Verdict.FAIL)).plain.split() == [
        "FAIL",
        "3",
        "part-3",
        "0.75",
        ">=",
        "0.5",
        "20.0",
        "ms",
    ]
    lost = result(4, Verdict.FAULT, part_id="", detail="no frame arrived")
    assert verdict_text(lost).plain.split() == [
        "FAULT",
        "4",
        "(part",
        "unknown)",
        "-",
        "20.0",
        "ms",
        "lost",
        "no",
        "frame",
        "arrived",
    ]


def test_a_score_just_below_its_threshold_is_seen_to_be_below() -> None:
    """Numbers that are alike in three digits are written with more."""
    close = replace(result(3), score=2.6181, threshold=2.6224)
    assert "2.618 < 2.622" in verdict_text(close).plain


def test_an_escape_stands_out() -> None:
    """A defective part that passed does not look like one that failed."""
    assert truth_styles(Verdict.PASS) != truth_styles(Verdict.FAIL)


def test_text_from_the_wire_is_not_markup() -> None:
    """A part's name cannot colour, hide or break a line."""
    assert "[red]x[/]" in shown(Received(result(1, part_id="[red]x[/]"), 1))


def test_changes_of_the_worker_are_told_once() -> None:
    """Not at every heartbeat."""
    ready, draining = replace(worker_state({}), part_ms=104.49), worker_state({}, phase="draining")
    gone = replace(ready, sources=(SourceState("tcp://camera", "stream", False, 0, name="left"),))
    text = shown(ready, ready, gone, gone, ready, draining)
    assert text.count("is ready on cpu, 104 ms a part") == 1
    assert text.count("is draining on cpu\n") == 1
    assert text.count("camera left at tcp://camera is lost") == 1


def test_gaps_and_damage_are_told() -> None:
    """With their ids, and with the reason."""
    text = shown(Lost(Missing("boot", 4, 7), LossCause.TOO_OLD), Damaged("malformed: x"))
    assert "results 4 to 7 were missed" in text
    assert "not of this protocol: malformed: x" in text


def test_for_programs_every_event_is_an_object_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With all fields of a result; maps are left out."""
    events: Sequence[Event] = [
        received(1),
        worker_state({}),
        Lost(Missing("boot", 1, 2), LossCause.NEW_BOOT),
        Damaged("x"),
        maps(),
    ]
    for event in events:
        JsonDisplay().show(event)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["result", "state", "lost", "damaged"]
    assert (lines[0]["verdict"], lines[0]["seq"], lines[0]["score"]) == ("PASS", 1, 0.25)
    assert lines[2] == {"event": "lost", "boot_id": "boot", "first_id": 1, "last_id": 2, "cause": "new_boot"}


def test_rejected_parts_get_a_picture(tmp_path: Path) -> None:
    """Its name sorts by trigger and has part and verdict; parts that passed get none."""
    pictures = RejectPictures(tmp_path / "rejected")
    pictures.result(result(17, Verdict.FAIL, map_ref="boot/18"))
    path = pictures.maps(maps())
    assert pictures.maps(maps(Verdict.PASS, seq=18)) is None
    assert path == tmp_path / "rejected" / "000017-bagel-test-hole-003-FAIL.png"
    assert pictures.saved == [path]
    with Image.open(path) as picture:
        assert picture.width > 5 * 224


def test_a_picture_holds_the_map_against_the_threshold_in_the_scores_unit(tmp_path: Path) -> None:
    """A recipe whose score is on another scale than its map gives the picture of one whose score is the maximum."""
    plain, scaled = maps(), maps()
    plain = replace(plain, psi=plain.psi * np.float32(0.75))
    shown = []
    for name, one in (("plain", plain), ("scaled", replace(scaled, psi=scaled.psi * np.float32(64.0)))):
        path = RejectPictures(tmp_path / name).maps(one)
        assert path is not None
        with Image.open(path) as picture:
            shown.append(np.asarray(picture.convert("RGB")))
    assert plain.score == pytest.approx(plain.psi.max())
    np.testing.assert_array_equal(shown[0], shown[1])


@pytest.mark.parametrize("part_id", ["../../etc/passwd", "/abs/olute", "a\\b:c", "", "...", "x" * 250])
def test_no_name_on_the_wire_becomes_a_path(part_id: str) -> None:
    """A picture lands in its folder whatever a camera calls its parts."""
    name = picture_name(maps(part_id=part_id))
    assert Path(name).name == name
    assert not name.startswith(".")
    assert len(name) < 128


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The picture's path is in the message."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="000017"):
        RejectPictures(tmp_path / "file").maps(maps())


def test_the_summary_says_whether_the_account_holds() -> None:
    """For people and for programs the same figures."""
    triggers = [trigger(0), trigger(1, label=1, defect="hole"), trigger(2)]
    items = [received(0), received(1), received(2, Verdict.FAULT, reason=Reason.DEADLINE)]
    counted = account(triggers, items)
    good, bad = printed(counted, []), printed(counted, ["1 triggers without a verdict: stream/9"])
    assert "3 triggers = 2 pass + 0 fail + 0 undecided + 1 fault: the account holds" in good
    assert "1 of 1 defective parts passed: part-1" in good
    assert "deadline 1" in good
    assert "does NOT hold" in bad
    assert "stream/9" in bad
    figures = json.loads(json.dumps(summary_map(counted, [], [Path("a.png")])))
    assert figures["identity_holds"]
    assert figures["verdicts"] == {"PASS": 2, "FAIL": 0, "UNDECIDED": 0, "FAULT": 1}
    assert figures["escapes"] == ["part-1"]
    assert not summary_map(counted, compare_with_worker(counted, None), [])["identity_holds"]


def printed(counted: Account, problems: Sequence[str]) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(summary_view(counted, problems))
    return out.getvalue()
