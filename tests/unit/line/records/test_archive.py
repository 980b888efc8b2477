"""The archive of rejected parts: complete folders, bounded in size, the oldest deleted first; the line never waits."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tests.unit.made.dataset import read_json
from tests.unit.made.verdicts import evidence, frame, maps, result

from cmfm_protocol.files.dataset import read_rgb, read_xyz
from cmfm_protocol.wire.frame import Frame
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.archived_part import frame_sha256, part_folders, read_archived_part
from cmfm_worker.errors import InputError, StartupError
from cmfm_worker.line.records.archive import Archive, Which, is_wanted
from cmfm_worker.line.records.archive_folder import folder_bytes, write_part
from cmfm_worker.line.records.recorder import Evidence


def keep(parts: Archive, *offered: Evidence) -> None:
    for part in offered:
        assert part.frame is not None
        parts.keep(part, frame_sha256(part.frame.rgb, part.frame.xyz))


def kept_ids(folder: Path) -> list[int]:
    return [read_json(part / "result.json")["result_id"] for part in part_folders(folder)]


def test_part_is_kept_bit_for_bit(tmp_path: Path) -> None:
    """Frame (with points that were not measured), maps and verdict are read back unchanged."""
    parts = Archive(tmp_path / "kept", max_mb=10, which="rejected", made_on={"device": "cpu"})
    keep(parts, evidence(7, score=0.1 + 0.2))
    parts.close()
    (folder,) = part_folders(tmp_path / "kept")
    part, sent, shown = read_archived_part(folder), frame(7), maps()
    assert part.rgb.tobytes() == sent.rgb.tobytes() == read_rgb(folder / "rgb.png").tobytes()
    assert part.xyz.tobytes() == sent.xyz.tobytes() == read_xyz(folder / "xyz.tiff").tobytes()
    for name in ("psi", "psi_2d", "psi_3d", "foreground"):
        np.testing.assert_array_equal(part.maps[name], getattr(shown, name))
    wanted = {"verdict": "FAIL", "score": 0.1 + 0.2, "part_id": "p6", "recipe_sha": "c" * 64, "device": "cpu"}
    assert {key: part.facts[key] for key in wanted} == wanted
    assert folder.name == "20260202T024007000Z_b_7"


@pytest.mark.parametrize(
    ("which", "kept"),
    [
        ("rejected", {Verdict.FAIL, Verdict.UNDECIDED, Verdict.FAULT}),
        ("inspected", {Verdict.FAIL, Verdict.UNDECIDED}),
        ("all", set(Verdict)),
        ("none", set()),
    ],
)
def test_which_parts_are_kept(which: Which, kept: set[Verdict]) -> None:
    """The setting `which` selects parts by their verdict."""
    assert {verdict for verdict in Verdict if is_wanted(which, verdict)} == kept


def test_names_hold_nothing_from_the_wire(tmp_path: Path) -> None:
    """A part id that looks like a path stays in result.json; nothing is written outside the folder."""
    parts = Archive(tmp_path / "kept", max_mb=10, which="rejected")
    keep(parts, evidence(1, part_id="../../evil", recipe="/etc", boot_id="../b", stream_uuid="..\\x"))
    parts.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]
    (folder,) = part_folders(tmp_path / "kept")
    assert folder.parent == tmp_path / "kept"
    assert read_json(folder / "result.json")["part_id"] == "../../evil"


def test_oldest_parts_make_room(tmp_path: Path) -> None:
    """The folder stays within its size and keeps the newest parts, also after a restart; other files are left alone."""
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    parts = Archive(folder, max_mb=3, which="rejected")
    for i in range(1, 9):
        keep(parts, evidence(i))
    parts.close()
    first = kept_ids(folder)
    assert first == list(range(9 - len(first), 9))
    assert 1 <= len(first) < 8
    assert sum(folder_bytes(part) for part in part_folders(folder)) <= 3e6
    following = Archive(folder, max_mb=3, which="rejected")
    keep(following, evidence(9), evidence(10))
    following.close()
    assert kept_ids(folder)[-2:] == [9, 10]
    assert sum(folder_bytes(part) for part in part_folders(folder)) <= 3e6
    assert (folder / "notes.txt").read_text() == "mine"


def test_torn_parts_of_a_killed_process_go(tmp_path: Path) -> None:
    """A part that was being written when the process died is deleted at the next start."""
    torn = tmp_path / "kept" / ".partial-20260202T024007000Z_b_7"
    torn.mkdir(parents=True)
    (torn / "rgb.png").write_bytes(b"half")
    Archive(tmp_path / "kept", max_mb=3, which="rejected").close()
    assert list((tmp_path / "kept").iterdir()) == []


def test_slow_disk_drops_parts_and_never_blocks(tmp_path: Path) -> None:
    """Parts beyond the queue are counted, not waited for."""
    disk_answers = threading.Event()

    def held(
        parent: Path, part: Evidence, received: Frame, sha256: str, made_on: Mapping[str, object]
    ) -> int:
        assert disk_answers.wait(10)
        return write_part(parent, part, received, sha256, made_on)

    parts = Archive(tmp_path / "kept", max_mb=100, which="rejected", write=held)
    for i in range(1, 31):
        keep(parts, evidence(i))
    disk_answers.set()
    parts.close()
    assert parts.kept + parts.dropped == 30
    assert 13 <= parts.dropped <= 14
    assert len(kept_ids(tmp_path / "kept")) == parts.kept


def test_disk_that_refuses_costs_the_part_alone(tmp_path: Path) -> None:
    """A part that cannot be written is counted and leaves nothing behind; the next one is written."""
    folder = tmp_path / "kept"
    parts = Archive(folder, max_mb=100, which="rejected")
    shutil.rmtree(folder)
    keep(parts, evidence(1))
    give_up = time.monotonic() + 10
    while not parts.dropped and time.monotonic() < give_up:
        time.sleep(0.01)
    folder.mkdir()
    keep(parts, evidence(2))
    parts.close()
    assert (parts.kept, parts.dropped) == (1, 1)
    assert kept_ids(folder) == [2]


def test_part_larger_than_the_bound_is_not_kept(tmp_path: Path) -> None:
    """A part that exceeds the bound by itself is dropped instead of deleting all others."""
    parts = Archive(tmp_path / "kept", max_mb=1.5, which="rejected")
    keep(parts, evidence(1))
    huge = Evidence(result(2, Verdict.FAIL), frame(2, side_px=400), maps())
    keep(parts, huge)
    parts.close()
    assert kept_ids(tmp_path / "kept") == [1]
    assert parts.dropped == 1


def test_folder_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    """The message names the folder and the key."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"file.*\[kept\] folder"):
        Archive(tmp_path / "file", max_mb=1, which="rejected")


def test_damaged_part_is_refused(tmp_path: Path) -> None:
    """A frame that is not the recorded one, or a result.json of something else, is named."""
    parts = Archive(tmp_path / "kept", max_mb=10, which="rejected")
    keep(parts, evidence(1), evidence(2))
    parts.close()
    one, two = part_folders(tmp_path / "kept")
    shutil.copy(two / "rgb.png", one / "rgb.png")
    with pytest.raises(InputError, match="not the frame that was inspected"):
        read_archived_part(one)
    (two / "result.json").write_text('{"verdict": "FAIL"}')
    with pytest.raises(InputError, match="not written by a running line"):
        read_archived_part(two)
    (two / "result.json").write_text("[")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_archived_part(two)
