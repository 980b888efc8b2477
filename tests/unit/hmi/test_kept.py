"""The shared parts of pages of archived parts: pictures made once, ZIPs that are streamed, marks, the list's thread."""

from __future__ import annotations

import asyncio
import io
import shutil
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.made.archive import archive_part, domed_part

from cmfm_hmi.errors import InputError, PageError
from cmfm_hmi.kept.kept_parts import KeptParts
from cmfm_hmi.kept.marks import Marks
from cmfm_hmi.kept.picture_cache import MAX_WAITING, THREADS, PictureCache
from cmfm_hmi.kept.zip_stream import PROBLEMS_FILE, zip_stream
from cmfm_records.archived_row import PartFilter
from cmfm_records.collected import choose


class Maker:
    """Makes a picture when it is let; counts how often."""

    def __init__(self, content: bytes = b"picture") -> None:
        self.made = 0
        self.may = threading.Event()
        self._content = content

    def __call__(self) -> bytes:
        assert self.may.wait(30)
        self.made += 1
        return self._content


def test_picture_is_made_once_for_many_browsers() -> None:
    """Browsers that ask while a picture is made wait for it; later ones get it at once."""

    async def ask() -> None:
        cache, make = PictureCache(), Maker()
        asked = [asyncio.create_task(cache.get(("part", "psi.png"), make)) for _ in range(20)]
        await asyncio.sleep(0)
        make.may.set()
        assert await asyncio.gather(*asked) == [b"picture"] * 20
        assert await cache.get(("part", "psi.png"), make) == b"picture"
        assert make.made == 1
        cache.close()

    asyncio.run(ask())


def test_browser_that_leaves_does_not_end_the_picture_of_others() -> None:
    """A request that is cancelled costs the others nothing."""

    async def ask() -> None:
        cache, make = PictureCache(), Maker()
        first, second = (asyncio.create_task(cache.get(("part", "psi.png"), make)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        make.may.set()
        assert await second == b"picture"
        cache.close()

    asyncio.run(ask())


def test_too_many_pictures_are_refused_and_then_made() -> None:
    """Beyond the limit the page says that it is busy, also while others wait; afterwards it makes pictures again."""

    async def ask() -> None:
        cache, make = PictureCache(), Maker()
        keys = [(f"part{i}", "psi.png") for i in range(MAX_WAITING)]
        asked = [asyncio.create_task(cache.get(key, make)) for key in keys]
        await asyncio.sleep(0)
        with pytest.raises(PageError, match="busy"):
            await cache.get(("one more", "psi.png"), make)
        make.may.set()
        await asyncio.gather(*asked)
        assert await cache.get(("one more", "psi.png"), make) == b"picture"
        cache.close()

    asyncio.run(ask())
    assert THREADS < MAX_WAITING


def test_pictures_are_kept_up_to_a_size() -> None:
    """The picture that was asked for longest ago is forgotten first."""

    async def ask() -> None:
        cache, make = PictureCache(max_bytes=250), Maker(bytes(100))
        make.may.set()
        for name in ("a", "b", "a", "c", "a"):
            await cache.get((name, "psi.png"), make)
        assert make.made == 3
        await cache.get(("b", "psi.png"), make)
        assert make.made == 4
        await cache.get(("x", "psi.png"), lambda: bytes(1000))
        cache.close()

    asyncio.run(ask())


@pytest.mark.parametrize(
    "error", [InputError("torn"), OSError("disk"), ValueError("shape"), MemoryError("large")]
)
def test_picture_that_failed_is_tried_again(error: Exception) -> None:
    """A failure is a sentence for those who asked, and is not kept."""

    async def ask() -> None:
        cache = PictureCache()

        def fail() -> bytes:
            raise error

        with pytest.raises(PageError, match=str(error)):
            await cache.get(("part", "psi.png"), fail)
        assert await cache.get(("part", "psi.png"), lambda: b"whole") == b"whole"
        cache.close()

    asyncio.run(ask())


def test_zip_is_streamed_piece_by_piece(tmp_path: Path) -> None:
    """An export of large parts takes memory for a few pieces, and the archive is whole."""
    folders = [tmp_path / f"20260202T024001000Z_b_{i}" for i in range(3)]
    for folder in folders:
        folder.mkdir()
        (folder / "xyz.tiff").write_bytes(bytes(range(256)) * 80_000)  # 20 MB
    tracemalloc.start()
    size = sum(len(piece) for piece in zip_stream(folders))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 60e6
    assert peak < 5e6


def test_part_that_goes_during_the_export_is_named(tmp_path: Path) -> None:
    """The line deletes a part while it is exported: the others are whole, and PROBLEMS.txt names it."""
    first, second = (archive_part(tmp_path, domed_part(i)) for i in (1, 2))
    stream = zip_stream([first, second, tmp_path / "none"])
    content = next(stream)
    shutil.rmtree(second)
    content += b"".join(stream)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {Path(name).parent.name for name in archive.namelist()} == {first.name, ""}
        problems = archive.read(PROBLEMS_FILE).decode()
        assert problems.splitlines() == [
            f"{name}: No such file or directory" for name in (second.name, "none")
        ]


def test_export_takes_files_alone(tmp_path: Path) -> None:
    """A folder or a pipe inside a part's folder is not followed."""
    folder = archive_part(tmp_path, domed_part(1))
    (folder / "more").mkdir()
    (folder / "more" / "secret").write_text("secret")
    content = b"".join(zip_stream([folder]))
    assert b"secret" not in content
    assert PROBLEMS_FILE.encode() not in content


def test_marks_are_those_of_the_file_now(tmp_path: Path) -> None:
    """A decision that a command or another page made meanwhile is seen; a torn last line is not."""
    folder = archive_part(tmp_path / "kept", domed_part(1))
    marks = Marks(tmp_path / "collected")
    assert marks.of([folder.name]) == {}
    marks.add("dome", folder, "good", "anna", "a glare")
    marks.add("cap", folder, "bad", "ben", "")
    found = marks.of([folder.name, "other"])
    assert [(mark.product, mark.choice.use, mark.choice.by) for mark in found[folder.name]] == [
        ("cap", "bad", "ben"),
        ("dome", "good", "anna"),
    ]
    assert found[folder.name][0].at_ns > 0
    choose(tmp_path / "collected", "cap", folder.name, "left_out", "carl")
    assert marks.of([folder.name])[folder.name][0].choice.by == "carl"
    with (tmp_path / "collected" / "cap" / "choices.jsonl").open("a") as file:
        file.write('{"part": "' + folder.name)
    assert marks.of([folder.name])[folder.name][0].choice.by == "carl"


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_list_is_read_when_somebody_looks(tmp_path: Path) -> None:
    """New parts are in the list after a look; nobody looking costs nothing; the folder's absence is told and ends."""
    kept = KeptParts(tmp_path / "kept", None)
    everything = PartFilter()
    try:
        asyncio.run(kept.refresh(30))
        assert "cannot be listed" in kept.problem
        archive_part(tmp_path / "kept", domed_part(1))
        assert kept.index.count(everything) == 0
        asyncio.run(kept.refresh(30))
        assert (kept.index.count(everything), kept.problem, kept.unread) == (1, "", 0)
    finally:
        kept.close()


def test_list_can_be_closed_while_it_is_read(tmp_path: Path) -> None:
    """Closing ends the thread after its step, although parts are left to read."""
    first = archive_part(tmp_path, domed_part(1, size_px=(10, 10), with_maps=False))
    for i in range(700):
        (tmp_path / f"20260202T025{i:06d}Z_b_{i}").mkdir()
        shutil.copy(first / "result.json", tmp_path / f"20260202T025{i:06d}Z_b_{i}" / "result.json")
    kept = KeptParts(tmp_path, None)
    asyncio.run(kept.refresh(0))
    wait_until(lambda: kept.unread > 0 or kept.index.count(PartFilter()) == 701)
    kept.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "kept-index"]
