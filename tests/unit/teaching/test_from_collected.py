"""Teaching from collected parts: which are chosen, what is said when there are too few, and the preview."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.made.verdicts import BASE_NS, evidence, frame

from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.archived_part import frame_sha256
from cmfm_records.collected import choose, read_product
from cmfm_records.enough_parts import LEAST_PARTS
from cmfm_worker.errors import InputError
from cmfm_worker.line.records.archive_folder import part_name, write_part
from cmfm_worker.teaching.collected_parts import ChosenParts, choose_collected
from cmfm_worker.teaching.from_collected import archived_parts
from cmfm_worker.teaching.preview import HOUR_NS, recent


def write(
    parent: Path, number: int, verdict: Verdict = Verdict.PASS, *, seed: int | None = None, **changes: object
) -> str:
    """Write a part as a line does; `seed` is that of its frame. Returns its name."""
    parent.mkdir(parents=True, exist_ok=True)
    part = replace(evidence(number, verdict, **changes), maps=None)
    shown = frame(number if seed is None else seed)
    write_part(parent, part, shown, frame_sha256(shown.rgb, shown.xyz), {})
    return part_name(part)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Twenty good parts of "cap"; returns the folder of its parts."""
    for number in range(1, LEAST_PARTS + 1):
        write(tmp_path / "cap" / "parts", number)
    return tmp_path / "cap" / "parts"


def chosen(parts: Path) -> ChosenParts:
    return choose_collected(read_product(parts.parents[1], "cap"), lambda *_: None)


def test_good_parts_are_split_as_fit_splits_them(parts: Path) -> None:
    """A fifth sets the threshold; a part is in one of both; rejected ones and bad ones are in neither."""
    write(parts, 31, Verdict.FAIL)
    bad = write(parts, 32)
    choose(parts.parents[1], "cap", bad, "bad", "ann")
    split = chosen(parts).split("cap", 0)
    names = [part.id for part in (*split.train, *split.validation)]
    assert (len(split.train), len(split.validation)) == (16, 4)
    assert len(set(names)) == LEAST_PARTS
    assert bad not in names


def test_repeated_frame_counts_once(parts: Path) -> None:
    """A belt that stood still must not both teach and set the threshold from one frame."""
    again = write(parts, 41, seed=1)
    found = chosen(parts)
    assert len(found.good) == LEAST_PARTS
    assert found.repeated == (again,)
    assert "1 parts have a frame that another part has" in found.remarks()[0]


def test_part_that_cannot_be_read_is_named_and_left_out(parts: Path) -> None:
    """A torn picture, or one that is not the frame that was inspected, stops nothing while enough others are there."""
    torn, exchanged = write(parts, 41), write(parts, 42)
    (parts / torn / "rgb.png").write_bytes((parts / torn / "rgb.png").read_bytes()[:100])
    shutil.copyfile(parts / torn / "xyz.tiff", parts / exchanged / "xyz.tiff")
    found = chosen(parts)
    assert len(found.good) == LEAST_PARTS
    assert [line.split(":")[0] for line in found.unreadable] == [torn, exchanged]


def test_too_few_parts_say_how_many_are_missing(parts: Path) -> None:
    """And what more of them buy, with where the figure comes from."""
    for folder in sorted(parts.iterdir())[:15]:
        shutil.rmtree(folder)
    with pytest.raises(InputError) as refused:
        chosen(parts)
    said = str(refused.value)
    assert "cap: too few parts: 5 good parts, 20 are needed; collect 15 more" in said
    assert "docs/accuracy.md" in said


def test_preview_looks_at_bad_parts_and_the_last_hour(tmp_path: Path) -> None:
    """Of the archive only parts of the product's recipes count, each part once, bad ones first, then the newest."""
    home, kept = tmp_path / "collected", tmp_path / "kept"
    hour = HOUR_NS // 10**9
    old_bad = write(home / "cap" / "parts", 1, recipe="cap")
    write(home / "cap" / "parts", 2, recipe="cap")
    newest = write(home / "cap" / "parts", 2 * hour, recipe="cap")
    write(kept, 2 * hour, recipe="cap")  # the same part, also archived
    rejected = write(kept, 2 * hour - 10, Verdict.FAIL, recipe="cap")
    write(kept, 2 * hour - 5, Verdict.FAIL, recipe="other")
    choose(home, "cap", old_bad, "bad", "ann")
    product = read_product(home, "cap")
    looked_at = recent(product.parts, archived_parts(kept, product.parts, "cap"))
    assert [part.name for part in looked_at] == [old_bad, newest, rejected]
    assert looked_at[0].facts["done_ns"] == BASE_NS + 10**9
