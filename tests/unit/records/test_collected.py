"""Collected parts on disk: what is read back, decisions that survive a kill, names that lead elsewhere."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest
from tests.unit.made.verdicts import evidence

from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.archived_part import frame_sha256, read_archived_part
from cmfm_records.collected import Use, choose, products, read_product, take_archived
from cmfm_settings.errors import InputError
from cmfm_worker.line.records.archive_folder import part_name, write_part

GOOD, REJECTED, UNCERTAIN, UNKNOWN = 1, 2, 3, 4
VERDICTS = {
    GOOD: Verdict.PASS,
    REJECTED: Verdict.FAIL,
    UNCERTAIN: Verdict.UNDECIDED,
    UNKNOWN: Verdict.FAULT,
}


def write(parent: Path, result_id: int) -> str:
    """Write a part as a line does; returns its name."""
    parent.mkdir(parents=True, exist_ok=True)
    part = evidence(result_id, VERDICTS[result_id])
    assert part.frame is not None
    write_part(parent, part, part.frame, frame_sha256(part.frame.rgb, part.frame.xyz), {})
    return part_name(part)


@pytest.fixture
def collected(tmp_path: Path) -> tuple[Path, dict[int, str]]:
    """A product "cap" with one part of each verdict; returns the folder and the parts' names."""
    names = {result_id: write(tmp_path / "cap" / "parts", result_id) for result_id in VERDICTS}
    return tmp_path, names


def uses(folder: Path) -> dict[str, Use]:
    return {part.name: part.use for part in read_product(folder, "cap").parts}


def test_parts_that_a_recipe_rejected_wait_for_a_decision(collected: tuple[Path, dict[int, str]]) -> None:
    """PASS and parts that no recipe judged are good; FAIL and UNDECIDED are left out until somebody decides."""
    folder, names = collected
    expected = {GOOD: "good", REJECTED: "left_out", UNCERTAIN: "left_out", UNKNOWN: "good"}
    assert uses(folder) == {names[result_id]: use for result_id, use in expected.items()}
    choose(folder, "cap", names[REJECTED], "good", "ann", "a reflection")
    choose(folder, "cap", names[GOOD], "bad", "bob")
    choose(folder, "cap", names[GOOD], "left_out", "ann")
    product = read_product(folder, "cap")
    assert [part.name for part in product.used_as("good")] == [names[REJECTED], names[UNKNOWN]]
    assert not product.used_as("bad")
    decided = product.parts[REJECTED - 1].choice
    assert decided is not None
    assert (decided.by, decided.comment, decided.use) == ("ann", "a reflection", "good")


def test_torn_line_costs_itself_alone(collected: tuple[Path, dict[int, str]]) -> None:
    """A line that a killed process left half written is ignored, and the decision after it is not lost with it."""
    folder, names = collected
    choose(folder, "cap", names[GOOD], "bad", "ann")
    path = folder / "cap" / "choices.jsonl"
    torn = json.dumps({"part": names[UNKNOWN], "use": "bad", "by": "bob", "at": ""}).encode()[:-9]
    path.write_bytes(path.read_bytes() + torn)
    assert uses(folder)[names[UNKNOWN]] == "good"
    choose(folder, "cap", names[UNKNOWN], "left_out", "bob")
    assert uses(folder)[names[UNKNOWN]] == "left_out"
    assert uses(folder)[names[GOOD]] == "bad"


@pytest.mark.parametrize(
    "line", [b"[]", b'{"part": 3}', b'{"part": "../x", "use": "bad"}', b"\xff\xfe", b"null", b"{}"]
)
def test_foreign_lines_are_ignored(collected: tuple[Path, dict[int, str]], line: bytes) -> None:
    """Lines that are no decision change nothing."""
    folder, names = collected
    (folder / "cap" / "choices.jsonl").write_bytes(line + b"\n")
    assert uses(folder)[names[GOOD]] == "good"


def test_two_writers_lose_no_line(collected: tuple[Path, dict[int, str]]) -> None:
    """Decisions of several threads at once are all there, each whole."""
    folder, names = collected

    def decide(by: str) -> None:
        for _ in range(20):
            choose(folder, "cap", names[GOOD], "bad", by, "x" * 900)

    threads = [threading.Thread(target=decide, args=(by,)) for by in ("ann", "bob", "cid")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (folder / "cap" / "choices.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(line)["by"] for line in lines) == ["ann"] * 20 + ["bob"] * 20 + ["cid"] * 20


@pytest.mark.parametrize("product", ["../other", "", "a/b", ".hidden", "..", "x" * 65])
def test_product_that_is_no_name_is_refused(tmp_path: Path, product: str) -> None:
    """Neither reading nor writing follows a name to another folder."""
    with pytest.raises(InputError, match="not a product's name"):
        read_product(tmp_path, product)
    with pytest.raises(InputError, match="not a product's name"):
        take_archived(tmp_path, product, tmp_path, "bad", "ann")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", ["../../cap", "", "20260202T024007000Z_b_999", "x"])
def test_part_that_is_not_there_is_refused(collected: tuple[Path, dict[int, str]], part: str) -> None:
    """A decision needs its part."""
    folder, _ = collected
    with pytest.raises(InputError, match="no collected part"):
        choose(folder, "cap", part, "bad", "ann")
    assert not (folder / "cap" / "choices.jsonl").exists()


def test_archived_part_joins_a_product(tmp_path: Path) -> None:
    """A wrong call is copied bit for bit, once, and outlives the archive's own deletion."""
    name = write(tmp_path / "kept", REJECTED)
    before = read_archived_part(tmp_path / "kept" / name)
    take_archived(tmp_path / "collected", "cap", tmp_path / "kept" / name, "bad", "ann", "a crack")
    take_archived(tmp_path / "collected", "cap", tmp_path / "kept" / name, "good", "bob", "dust")
    shutil.rmtree(tmp_path / "kept")
    (part,) = read_product(tmp_path / "collected", "cap").parts
    after = read_archived_part(part.folder)
    assert (part.name, part.use) == (name, "good")
    assert after.xyz.tobytes() == before.xyz.tobytes()
    assert set(after.maps) == set(before.maps)
    assert products(tmp_path / "collected") == ["cap"]


def test_damaged_part_is_not_taken(tmp_path: Path) -> None:
    """A part whose picture was exchanged is refused and leaves nothing behind."""
    name, other = write(tmp_path / "kept", REJECTED), write(tmp_path / "kept", GOOD)
    shutil.copyfile(tmp_path / "kept" / other / "rgb.png", tmp_path / "kept" / name / "rgb.png")
    with pytest.raises(InputError, match="not the frame that was inspected"):
        take_archived(tmp_path / "collected", "cap", tmp_path / "kept" / name, "bad", "ann")
    assert not (tmp_path / "collected").exists()


def test_full_disk_leaves_no_half_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that the disk refuses is an error that names the place, and nothing of it stays."""
    name = write(tmp_path / "kept", REJECTED)

    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device", target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left"):
        take_archived(tmp_path / "collected", "cap", tmp_path / "kept" / name, "bad", "ann")
    assert list((tmp_path / "collected" / "cap" / "parts").iterdir()) == []
    assert not read_product(tmp_path / "collected", "cap").parts


def test_half_deleted_part_is_left_out(collected: tuple[Path, dict[int, str]]) -> None:
    """A part without result.json does not hide the others."""
    folder, names = collected
    (folder / "cap" / "parts" / names[GOOD] / "result.json").unlink()
    assert len(read_product(folder, "cap").parts) == len(VERDICTS) - 1
