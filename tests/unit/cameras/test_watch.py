"""Which files of a folder are a part, and when they may be read."""

import os
from pathlib import Path

import pytest

from cmfm_cameras.files.watch import FolderWatch, Found

ENDINGS = (".rgb.png", ".xyz.tiff")


class Folder:
    """A folder whose files have the times that a test gives them, and its watch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.watch = FolderWatch(path, ENDINGS, settle_s=1.0, missing_s=10.0)
        self._times = iter(range(1, 1000))

    def write(self, *names: str, size: int = 1) -> None:
        for name in names:
            (self.path / name).write_bytes(b"x" * size)
            moment = next(self._times)
            os.utime(self.path / name, (moment, moment))

    def look(self, now_s: float) -> list[str]:
        return [describe(found) for found in self.watch.look(now_s)]


def describe(found: Found) -> str:
    missing = [path.name.partition(".")[2] for path in found.missing]
    return f"{found.name} without {', '.join(missing)}" if missing else found.name


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty folder."""
    return Folder(tmp_path)


def test_a_part_is_ready_once_all_its_files_stopped_changing(folder: Folder) -> None:
    """Not while one grows, and once only."""
    folder.write("a.rgb.png")
    assert folder.look(0.0) == []
    folder.write("a.xyz.tiff")
    assert folder.look(0.5) == []
    assert folder.look(1.4) == []
    folder.write("a.xyz.tiff", size=2)
    assert folder.look(1.6) == []
    assert folder.look(2.5) == []
    assert folder.look(2.6) == ["a"]
    assert folder.look(100.0) == []


def test_parts_come_in_the_order_in_which_they_were_saved(folder: Folder) -> None:
    """Not in that of their names."""
    folder.write("z.rgb.png", "z.xyz.tiff", "a.rgb.png", "a.xyz.tiff")
    folder.look(0.0)
    assert folder.look(1.0) == ["z", "a"]


def test_a_part_whose_other_file_does_not_come_is_given_up(folder: Folder) -> None:
    """Once; the file that comes too late makes no part."""
    folder.write("a.xyz.tiff")
    folder.look(0.0)
    assert folder.look(9.9) == []
    assert folder.look(10.0) == ["a without rgb.png"]
    folder.write("a.rgb.png")
    assert folder.look(11.0) == []
    assert folder.look(50.0) == []


def test_a_sensor_that_saves_under_one_name_makes_a_part_each_time(folder: Folder) -> None:
    """Never of a new picture and the old points."""
    folder.write("latest.rgb.png", "latest.xyz.tiff")
    folder.look(0.0)
    assert folder.look(1.0) == ["latest"]
    folder.write("latest.rgb.png")
    assert folder.look(2.0) == []
    assert folder.look(3.5) == []  # settled, but the points are those of the part before
    folder.write("latest.xyz.tiff")
    folder.look(4.0)
    assert folder.look(5.0) == ["latest"]
    folder.write("latest.rgb.png")
    folder.look(6.0)
    assert folder.look(16.0) == ["latest without xyz.tiff"]


def test_what_is_there_at_the_start_can_be_skipped(folder: Folder) -> None:
    """Until it is written again."""
    folder.write("a.rgb.png", "a.xyz.tiff")
    folder.watch.skip_existing()
    assert folder.look(0.0) == folder.look(5.0) == []
    folder.write("a.rgb.png", "a.xyz.tiff")
    folder.look(6.0)
    assert folder.look(7.0) == ["a"]


def test_other_files_are_none_of_a_part(folder: Folder) -> None:
    """Hidden ones of a copy on its way, notes, and files that are an ending alone."""
    folder.write(".a.rgb.png", "a.txt", ".rgb.png", "rgb.png")
    folder.look(0.0)
    assert folder.look(50.0) == []


def test_a_part_can_be_looked_at_again(folder: Folder) -> None:
    """If one of its files changed while it was read."""
    folder.write("a.rgb.png", "a.xyz.tiff")
    folder.watch.look(0.0)
    (found,) = folder.watch.look(1.0)
    assert folder.watch.is_unchanged(found)
    folder.write("a.xyz.tiff", size=3)
    assert not folder.watch.is_unchanged(found)
    folder.watch.again(found)
    folder.look(2.0)
    assert folder.look(3.0) == ["a"]


def test_names_that_are_gone_are_forgotten(folder: Folder) -> None:
    """A folder that is emptied and filled for months costs no memory."""
    for number in range(5):
        folder.write(f"{number}.rgb.png", f"{number}.xyz.tiff")
        folder.look(0.0)
        for path in folder.path.iterdir():
            path.unlink()
    assert folder.look(1.0) == []
    assert not folder.watch._watched
