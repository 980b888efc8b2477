"""The index of archived parts: filters, pages, what appears and goes, torn folders, memory."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tracemalloc
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.archive import archive_part, domed_part, done_ns
from tests.unit.made.dataset import read_json
from tests.unit.made.verdicts import result

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_records.archive_index import ArchiveIndex
from cmfm_records.archived_row import PartFilter, name_time_ns, time_name
from cmfm_settings.errors import InputError

ALL = PartFilter()


def write_row(parent: Path, result_id: int, **changes: Any) -> Path:
    """A folder with a result.json alone, as far as a list needs it."""
    folder = parent / f"{time_name(done_ns(result_id))}_b_{result_id}"
    folder.mkdir(parents=True)
    row = result(result_id, Verdict.FAIL, **({"score": 2.0, "recipe": "dome", "camera": "north"} | changes))
    facts = {"kept_version": 1, "recipe_sha": "", "frame_sha256": "", **asdict(row)}
    (folder / "result.json").write_text(json.dumps(facts))
    return folder


def ids(index: ArchiveIndex, wanted: PartFilter = ALL, **paging: object) -> list[int]:
    return [row.result_id for row in index.page(wanted, **{"limit": 100, **paging})]  # type: ignore[arg-type]


def test_row_holds_what_a_list_shows(tmp_path: Path) -> None:
    """A part that the line's archive wrote is listed with its verdict, reason, recipe, camera, score and time."""
    folder = archive_part(tmp_path / "kept", domed_part(7))
    index = ArchiveIndex(tmp_path / "kept")
    assert index.refresh() == 0
    (row,) = index.page(ALL, limit=10)
    assert (row.name, row.boot_id, row.result_id, row.part_id) == (folder.name, "b", 7, "p6")
    assert (row.verdict, row.reason, row.recipe, row.camera) == ("FAIL", "above_threshold", "dome", "north")
    assert (row.score, row.threshold, row.coverage, row.regions, row.has_maps) == (3.0, 1.0, 0.97, 1, True)
    assert (row.done_ns, row.problem) == (done_ns(7), "")
    assert index.row(folder.name) == row
    assert index.row("../../etc") is None
    assert index.find("b", 7) == row
    assert index.find("other", 7) is None
    index.close()


def test_filters(tmp_path: Path) -> None:
    """Time, recipe, reason, verdict, camera and a piece of the part id each leave the parts that match."""
    kept = tmp_path / "kept"
    archive_part(kept, domed_part(1))
    archive_part(kept, domed_part(2, recipe="cap", camera="south"))
    archive_part(kept, domed_part(3, Verdict.UNDECIDED, reason=Reason.GREY_BAND))
    archive_part(kept, domed_part(4, Verdict.FAULT, score=None, with_maps=False, part_id="A_%7"))
    index = ArchiveIndex(kept)
    index.refresh()
    assert ids(index) == [4, 3, 2, 1]
    assert ids(index, PartFilter(recipe="cap")) == [2]
    assert ids(index, PartFilter(camera="north")) == [4, 3, 1]
    assert ids(index, PartFilter(reason="grey_band")) == [3]
    assert ids(index, PartFilter(verdict="FAULT")) == [4]
    assert ids(index, PartFilter(has_maps=True)) == [3, 2, 1]
    assert ids(index, PartFilter(part="_%")) == [4]
    assert ids(index, PartFilter(since_ns=done_ns(2), until_ns=done_ns(4))) == [3, 2]
    assert index.count(PartFilter(since_ns=done_ns(2), recipe="dome")) == 2
    assert index.choices("recipe") == [("cap", 1), ("dome", 3)]
    index.close()


def test_pages_go_back_and_forth(tmp_path: Path) -> None:
    """Pages of a filtered list join without gap or repetition, in both directions."""
    for i in range(1, 12):
        write_row(tmp_path, i, recipe="cap" if i % 5 == 0 else "dome")
    index = ArchiveIndex(tmp_path)
    index.refresh()
    dome = PartFilter(recipe="dome")
    first = index.page(dome, limit=4)
    second = index.page(dome, limit=4, before=first[-1].name)
    assert [row.result_id for row in first + second] == [11, 9, 8, 7, 6, 4, 3, 2]
    assert index.page(dome, limit=4, after=second[0].name) == first
    assert ids(index, dome, limit=4, before=second[-1].name) == [1]
    index.close()


def test_refresh_reads_a_bounded_number_newest_first(tmp_path: Path) -> None:
    """One step reads no more parts than its limit; the newest can be seen while older ones are still to be read."""
    for i in range(1, 8):
        write_row(tmp_path, i)
    index = ArchiveIndex(tmp_path)
    assert index.refresh(3) == 4
    assert ids(index) == [7, 6, 5]
    assert index.refresh(3) == 1
    assert index.refresh(3) == 0
    assert ids(index) == [7, 6, 5, 4, 3, 2, 1]
    index.close()


def test_new_parts_appear_and_deleted_ones_go(tmp_path: Path) -> None:
    """A part that the line archives or deletes is in the next page, or no longer; other entries are ignored."""
    for i in (1, 2):
        write_row(tmp_path, i)
    (tmp_path / ".partial-20260202T024007000Z_b_9").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    index = ArchiveIndex(tmp_path)
    index.refresh()
    shutil.rmtree(tmp_path / f"{time_name(done_ns(1))}_b_1")
    write_row(tmp_path, 3)
    index.refresh()
    assert ids(index) == [3, 2]
    index.close()


def test_index_is_kept_between_starts(tmp_path: Path) -> None:
    """A second start reads no part again: a row survives although its result.json was emptied meanwhile."""
    folder, file = tmp_path / "kept", tmp_path / "index.sqlite"
    written = write_row(folder, 1)
    first = ArchiveIndex(folder, file)
    first.refresh()
    first.close()
    (written / "result.json").write_text("")
    second = ArchiveIndex(folder, file)
    second.refresh()
    assert [(row.result_id, row.verdict) for row in second.page(ALL, limit=10)] == [(1, "FAIL")]
    second.close()


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + bytes(200)])
def test_file_that_is_no_index_is_made_anew(tmp_path: Path, content: bytes) -> None:
    """A damaged index costs nothing but the reading."""
    write_row(tmp_path / "kept", 1)
    file = tmp_path / "index.sqlite"
    file.write_bytes(content)
    index = ArchiveIndex(tmp_path / "kept", file)
    index.refresh()
    assert ids(index) == [1]
    index.close()


def test_damaged_page_of_the_index_is_found(tmp_path: Path) -> None:
    """An index with a damaged page is made anew at the start."""
    for i in range(1, 200):
        write_row(tmp_path / "kept", i)
    file = tmp_path / "index.sqlite"
    first = ArchiveIndex(tmp_path / "kept", file)
    first.refresh()
    first.close()
    content = bytearray(file.read_bytes())
    content[8192:12288] = bytes(4096)
    file.write_bytes(content)
    second = ArchiveIndex(tmp_path / "kept", file)
    second.refresh()
    assert len(ids(second, limit=500)) == 199
    second.close()


def test_index_of_another_folder_is_not_used(tmp_path: Path) -> None:
    """The rows of one archive never show for another, not even for a part of the same name."""
    for folder in ("old", "new"):
        write_row(tmp_path / folder, 1, recipe=folder)
        index = ArchiveIndex(tmp_path / folder, tmp_path / "index.sqlite")
        index.refresh()
        assert [row.recipe for row in index.page(ALL, limit=10)] == [folder]
        index.close()


def test_part_that_comes_within_a_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    """A folder that changed just now is listed again, although its time of change is still the same."""
    write_row(tmp_path / "kept", 1)
    index = ArchiveIndex(tmp_path / "kept")
    changed = (tmp_path / "kept").stat()
    index.refresh()
    write_row(tmp_path / "kept", 2)
    os.utime(tmp_path / "kept", ns=(changed.st_atime_ns, changed.st_mtime_ns))
    index.refresh()
    assert ids(index) == [2, 1]
    index.close()


def test_index_that_cannot_be_written(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(
        InputError, match=r"none/index\.sqlite: the index of archived parts cannot be written"
    ):
        ArchiveIndex(tmp_path, tmp_path / "none" / "index.sqlite")


def test_folder_that_is_gone_keeps_the_rows(tmp_path: Path) -> None:
    """A folder that cannot be listed is a sentence, and the parts are there again once it is."""
    folder = tmp_path / "kept"
    write_row(folder, 1)
    index = ArchiveIndex(folder)
    index.refresh()
    folder.rename(tmp_path / "away")
    with pytest.raises(InputError, match="kept: cannot be listed"):
        index.refresh()
    (tmp_path / "away").rename(folder)
    assert index.refresh() == 0
    assert ids(index) == [1]
    index.close()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "was not written by a running line"),
        (" " * (2 << 20), "larger than"),
        ({"verdict": 3}, "result.json: verdict: expected"),
        ({"score": "high"}, "score: expected a number"),
        ({"score": float("nan")}, "score: not finite"),
        ({"score": 10**400}, "score: an integer of more than 64 bits"),
        ({"result_id": 2**70}, "result_id: outside 1 to"),
        ({"regions": [{}]}, "regions[0].bbox: missing"),
    ],
)
def test_torn_part_is_a_row_with_a_sentence(
    tmp_path: Path, content: str | dict[str, object], says: str
) -> None:
    """A folder that cannot be used is listed under its time, with the reason; the others are listed as always."""
    write_row(tmp_path, 1)
    torn = write_row(tmp_path, 2)
    text = content if isinstance(content, str) else json.dumps(read_json(torn / "result.json") | content)
    (torn / "result.json").write_text(text)
    index = ArchiveIndex(tmp_path)
    assert index.refresh() == 0
    row, good = index.page(ALL, limit=10)
    assert (row.done_ns, row.result_id, row.verdict) == (done_ns(2), 2, "")
    assert says in row.problem
    assert good.problem == ""
    index.close()


def test_torn_part_that_is_completed_is_read_again(tmp_path: Path) -> None:
    """A folder that somebody copies in appears with its sentence, then with its verdict."""
    folder = write_row(tmp_path, 1)
    (folder / "result.json").rename(tmp_path / "result.json")
    index = ArchiveIndex(tmp_path)
    index.refresh()
    assert "it has no result.json" in index.page(ALL, limit=1)[0].problem
    (tmp_path / "result.json").rename(folder / "result.json")
    index.refresh()
    assert index.page(ALL, limit=1)[0].verdict == "FAIL"
    index.close()


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    """Reading and paging 3,000 parts takes less Python memory than their rows would."""
    for i in range(1, 3001):
        write_row(tmp_path / "kept", i)

    def read_all(file: Path) -> None:
        index = ArchiveIndex(tmp_path / "kept", file)
        while index.refresh(100):
            pass
        assert len(index.page(ALL, limit=30)) == 30
        assert index.count(ALL) == 3000
        index.close()

    read_all(tmp_path / "first.sqlite")  # fills what Python itself caches
    tracemalloc.start()
    read_all(tmp_path / "second.sqlite")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_index_that_fails_later_is_a_sentence(tmp_path: Path) -> None:
    """A query whose file is damaged under it raises InputError, not an error of SQLite."""
    write_row(tmp_path / "kept", 1)
    file = tmp_path / "index.sqlite"
    index = ArchiveIndex(tmp_path / "kept", file)
    index.refresh()
    with sqlite3.connect(file) as other:
        other.execute("DROP TABLE parts")
    other.close()
    with pytest.raises(InputError, match=r"the index of .*kept cannot be used"):
        index.page(ALL, limit=1)
    index.close()


def test_times_of_names() -> None:
    """A name's time is read back to the millisecond; what is no time is 0, what is no year of four digits the last."""
    assert name_time_ns(f"{time_name(done_ns(5) + 123_999_999)}_b_5") == done_ns(5) + 123_000_000
    assert name_time_ns("20269999T999999999Z_b_5") == 0
    assert time_name(10**30).startswith("9999")
