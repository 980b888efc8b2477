"""The check of the disks: room for a week, a read-only or full disk, and how long a sync takes."""

from pathlib import Path

import pytest
from tests.unit.made.examined import outcomes, said, settings, visit
from tests.unit.made.small_disk import small_disk

from cmfm_worker.doctor.check_disk import (
    LEAST_FILES,
    MB,
    Place,
    Room,
    check_disk,
    fsync_finding,
    places_of,
    room_findings,
    room_of,
)
from cmfm_worker.doctor.findings import Finding, Outcome


def looked_at(places: list[Place], room: Room) -> list[Finding]:
    return room_findings(places, lambda _: room, lambda _: 1)


PLACES = [
    Place("ledger", Path("/var/lib/cmfm"), 400 * MB),
    Place("kept", Path("/var/lib/cmfm/kept"), 1000 * MB),
]


@pytest.mark.parametrize(
    ("room", "outcome", "words"),
    [
        (Room(9000 * MB, 5000 * MB, 10**6, False), Outcome.GOOD, "5,000 of 9,000 MB free"),
        (Room(9000 * MB, 1800 * MB, 10**6, False), Outcome.TO_DO, "1,800 of 9,000 MB free"),
        (Room(9000 * MB, 5000 * MB, 10**6, True), Outcome.TO_DO, "read-only"),
        (Room(9000 * MB, 5000 * MB, LEAST_FILES - 1, False), Outcome.TO_DO, "more files"),
    ],
)
def test_room_on_a_disk(room: Room, outcome: Outcome, words: str) -> None:
    """Ledger and archive on one disk may take 1400 MB, and 500 MB stay free."""
    found = looked_at(PLACES, room)
    assert words in said(found, outcome)


def test_disks_are_judged_by_themselves() -> None:
    """A full disk of the archive does not make that of the ledger a full one."""
    rooms = {
        "ledger": Room(9000 * MB, 5000 * MB, 10**6, False),
        "kept": Room(2000 * MB, 10 * MB, 10**6, False),
    }
    by_folder = {place.folder: rooms[place.name] for place in PLACES}
    found = room_findings(PLACES, by_folder.__getitem__, lambda folder: len(str(folder)))
    assert outcomes(found) == [Outcome.GOOD, Outcome.TO_DO]


def test_growth_follows_from_rate_and_limits(tmp_path: Path) -> None:
    """A faster line fills the ledger sooner, up to its limit; the archive takes what is left of its own."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "part").write_bytes(bytes(3 * MB))
    given = settings(tmp_path, kept={"folder": tmp_path / "kept", "max_mb": 10})
    slow, fast = ({each.name: each for each in places_of(given, hz)} for hz in (1.0, 5.0))
    assert fast["ledger"].growth_bytes == 5 * slow["ledger"].growth_bytes
    assert slow["kept"].growth_bytes == 7 * MB
    small = settings(tmp_path, ledger={"path": tmp_path / "l", "max_mb": 20}, kept={"which": "none"})
    assert [(each.name, each.growth_bytes) for each in places_of(small, 5.0)][:1] == [("ledger", 20 * MB)]


def test_slow_disk_is_to_do(tmp_path: Path) -> None:
    """A sync that takes longer than the ledger's interval makes rows wait."""
    assert fsync_finding(tmp_path, 200, lambda _: [1.0, 2.0, 400.0]).outcome is Outcome.GOOD
    slow = fsync_finding(tmp_path, 200, lambda _: [1.0, 300.0, 400.0])
    assert slow.outcome is Outcome.TO_DO
    assert "flush_ms" in slow.do


def test_disk_that_refuses_a_write_is_not_good(tmp_path: Path) -> None:
    """A figure that cannot be measured is said to be missing."""

    def full(_: Path) -> list[float]:
        raise OSError(28, "No space left on device")

    assert fsync_finding(tmp_path, 200, full).outcome is Outcome.NOT_CHECKED


def test_a_real_disk(tmp_path: Path) -> None:
    """Every folder of a new line is looked at, those that are not there yet too."""
    found = check_disk(visit(tmp_path))
    assert len(found) >= 2
    assert not said(found, Outcome.NOT_CHECKED)
    assert f"{tmp_path}: a write is safe after" in "".join(each.seen for each in found)


def test_a_small_full_disk(tmp_path: Path) -> None:
    """A tmpfs of 1 MB, where the machine allows one to be mounted."""
    with small_disk(tmp_path, 1):
        (tmp_path / "full").write_bytes(bytes(MB))
        found = room_findings([Place("kept", tmp_path)], room_of, lambda _: 1)
        assert "0 of 1 MB free" in said(found, Outcome.TO_DO)
