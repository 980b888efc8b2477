"""The gateway's durable results, numbered 1, 2, 3, …, and how far each consumer has confirmed them: one SQLite file.

An appended result survives a kill from then on (WAL without a sync at each commit: a power cut may take the last part).
A number is never used again: the newest result is never deleted.
"""

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from cmfm_client import IdRange, Lost, Received, ReceivedIds
from cmfm_gateway.errors import StartupError
from cmfm_gateway.store_file import connect, prepare, read_boots
from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_protocol.wire.result import Result, decode_result, encode_result
from cmfm_protocol.wire.topics import topic
from cmfm_service.sqlite import transaction

RECENT: Final = 2_000
"""Newest results that are also held decoded in memory, for consumers that keep up."""

TIDY_EVERY: Final = 200
"""Results between two times that the log is written back and the size of the file looked at: about 1 MB of log."""

DELETED_AT_ONCE: Final = 500
"""Results that go at least when the file is too large."""

_TOPIC: Final = topic("store", "store", "result")


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result with its number in this gateway's store.

    `received_ns` is CLOCK_REALTIME at its arrival, None if it was recovered later. `stale`: it was recovered, or is of
    a boot of the worker before the present one; it is for the record and must never be acted on.
    """

    number: int
    result: Result
    received_ns: int | None
    stale: bool


class ResultStore:
    """Results and cursors. The feed's thread appends, any thread reads and advances cursors.

    `keep` results stay, and those that a registered consumer has not confirmed, up to `max_bytes` in all.

    Raises InputError for a file that is not such a store, StartupError if it cannot be written. Later failures of the
    disk are `sqlite3.Error`.
    """

    def __init__(self, path: Path, *, keep: int = 1_000_000, max_bytes: int = 4_096_000_000) -> None:
        self._path, self._keep, self._max_bytes = path, keep, max_bytes
        self._log = structlog.get_logger("store")
        try:
            self._writer = connect(path)
            prepare(self._writer, path)
            self._reader = connect(path)
            self.received: Mapping[str, ReceivedIds] = read_boots(self._writer)
            self._newest = self.newest_at_start = int(self._one("SELECT max(number) FROM results") or 0)
        except sqlite3.Error as error:
            raise StartupError(f"gateway.store: {path} cannot be used: {error}") from error
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()
        self._present_boot = next(reversed(list(self.received)), "")
        self._ids = {boot: ReceivedIds(ids.newest, list(ids.owed)) for boot, ids in self.received.items()}
        self._tidied_at = self._newest
        self._cursors: dict[str, int] = {}
        self._recent: dict[int, StoredResult] = {}
        self.deleted_unconfirmed: dict[str, int] = {}
        self.second_results = 0

    def append(self, received: Received) -> StoredResult | None:
        """Store a result; None if it, or another result of its trigger, is stored already."""
        return next(iter(self.append_all([received])), None)

    def append_all(self, received: Sequence[Received]) -> list[StoredResult]:
        """Store results in one step and return those that are new, numbered. All or none is stored."""
        with self._write_lock:
            with transaction(self._writer):
                ids = {boot: ReceivedIds(known.newest, list(known.owed)) for boot, known in self._ids.items()}
                new: list[tuple[int, Received]] = []
                for each in received:
                    if self._insert(self._newest + len(new) + 1, each):
                        new.append((self._newest + len(new) + 1, each))
                    else:
                        self._tell_second_result(each.result)
                for each in received:
                    _note(ids, each.result)
                for boot_id in dict.fromkeys(each.result.boot_id for each in received):
                    self._write_boot(boot_id, ids[boot_id])
            self._ids = ids
            for each in received:
                self._enter_boot(each.result.boot_id)
            stored = [
                StoredResult(
                    number, each.result, each.received_ns, self._is_stale(each.result, each.received_ns)
                )
                for number, each in new
            ]
            self._remember(stored)
        return stored

    def tidy(self) -> None:
        """Write the log back into the file and delete what nobody needs, once enough has come since the last time.

        It waits for the disk. The feed calls it after consumers have been told of the newest results.
        """
        with self._write_lock:
            if self._newest - self._tidied_at < TIDY_EVERY:
                return
            self._tidied_at = self._newest
            self._trim()
            self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def give_up(self, lost: Lost) -> None:
        """Note that results will not come, so that a restart does not ask for them."""
        missing = lost.missing
        with self._write_lock:
            ids = self._ids.setdefault(missing.boot_id, ReceivedIds())
            ids.expect(missing.last_id)
            ids.remove(IdRange(missing.first_id, missing.last_id))
            with transaction(self._writer):
                self._write_boot(missing.boot_id, ids)

    def enter_boot(self, boot_id: str, published: int) -> None:
        """Note the worker's present boot, which has published so many results: those of earlier boots are stale.

        The first boot of all is followed from there on; of a later one every result is wanted.
        """
        with self._write_lock:
            if boot_id not in self._ids:
                self._ids[boot_id] = ReceivedIds(0 if self._ids else published)
                with transaction(self._writer):
                    self._write_boot(boot_id, self._ids[boot_id])
            self._enter_boot(boot_id)

    def newest(self) -> int:
        """Return the highest number that was given to a result; 0 before the first."""
        return self._newest

    def after(self, number: int, limit: int = 500) -> list[StoredResult]:
        """Return the results with higher numbers, ascending, at most `limit`."""
        if number >= self._newest:
            return []
        first, recent = number + 1, self._recent
        if first in recent:
            last = min(self._newest, number + limit)
            found = [recent.get(each) for each in range(first, last + 1)]
            if None not in found:
                return [self._refreshed(each) for each in found if each is not None]
        return self._read("WHERE number > ? ORDER BY number LIMIT ?", number, limit)

    def by_number(self, number: int) -> StoredResult | None:
        """Return the result with a number; None for an unknown or deleted one."""
        recent = self._recent.get(number)
        return self._refreshed(recent) if recent else self._read_one("WHERE number = ?", number)

    def by_part(self, part_id: str) -> StoredResult | None:
        """Return the newest result of a part. Text that is not Unicode (lone surrogates) names no part."""
        return self._read_one("WHERE part_id = ? ORDER BY number DESC LIMIT 1", part_id)

    def by_wire_id(self, boot_id: str, result_id: int) -> StoredResult | None:
        """Return the result of a boot with this `result_id`."""
        return self._read_one("WHERE boot_id = ? AND result_id = ?", boot_id, result_id)

    def by_trigger(self, stream_uuid: str, seq: int) -> StoredResult | None:
        """Return the result of a trigger."""
        return self._read_one(
            f"WHERE stream_uuid = ? AND seq = ? AND stream_uuid != '{UNATTRIBUTED_STREAM}'", stream_uuid, seq
        )

    def begin(self, consumer: str, number: int) -> int:
        """Register a consumer; a new one has confirmed everything up to `number`. Return its cursor."""
        with self._read_lock, transaction(self._reader):
            self._reader.execute("INSERT OR IGNORE INTO cursors VALUES (?, ?)", (consumer, number))
        return self.cursor(consumer)

    def cursor(self, consumer: str) -> int:
        """Return the last number that a consumer has confirmed, 0 at first; from now on results are kept for it."""
        if consumer not in self._cursors:
            found = self._one("SELECT number FROM cursors WHERE consumer = ?", consumer)
            self._cursors[consumer] = int(found or 0)
        return self._cursors[consumer]

    def advance(self, consumer: str, number: int) -> None:
        """Note durably that a consumer has confirmed everything up to `number`; a lower number changes nothing."""
        if number <= self.cursor(consumer):
            return
        with self._read_lock, transaction(self._reader):
            self._reader.execute(
                "INSERT INTO cursors VALUES (?, ?) ON CONFLICT (consumer) DO UPDATE SET number = excluded.number",
                (consumer, number),
            )
        self._cursors[consumer] = number

    @property
    def cursors(self) -> Mapping[str, int]:
        """Consumer → last confirmed number, of those that are registered."""
        return dict(self._cursors)

    def close(self) -> None:
        """Close the file."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    def _insert(self, number: int, received: Received) -> bool:
        result = received.result
        cursor = self._writer.execute(
            "INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                result.boot_id,
                result.result_id,
                result.stream_uuid,
                result.seq,
                result.part_id,
                received.received_ns,
                encode_result(_TOPIC, result)[1],
            ),
        )
        return cursor.rowcount == 1

    def _tell_second_result(self, result: Result) -> None:
        """Say that a trigger has another result already. The first one counts: consumers may have acted on it."""
        wire_id = (result.boot_id, result.result_id)
        known = "SELECT 1 FROM results WHERE boot_id = ? AND result_id = ?"
        if self._writer.execute(known, wire_id).fetchone():
            return  # the same result once more
        by_trigger = "SELECT number FROM results WHERE stream_uuid = ? AND seq = ?"
        (first_number,) = self._writer.execute(by_trigger, (result.stream_uuid, result.seq)).fetchone()
        self.second_results += 1
        self._log.error(
            "second_result",
            stream_uuid=result.stream_uuid,
            seq=result.seq,
            part_id=result.part_id,
            verdict=str(result.verdict),
            boot_id=result.boot_id,
            result_id=result.result_id,
            first_number=first_number,
        )

    def _write_boot(self, boot_id: str, ids: ReceivedIds) -> None:
        self._writer.execute(
            "INSERT INTO boots (boot_id, newest, owed) VALUES (?, ?, ?) "
            "ON CONFLICT (boot_id) DO UPDATE SET newest = excluded.newest, owed = excluded.owed",
            (boot_id, ids.newest, json.dumps(ids.owed)),
        )

    def _enter_boot(self, boot_id: str) -> None:
        self._present_boot = boot_id

    def _remember(self, stored: Sequence[StoredResult]) -> None:
        recent = dict(self._recent)
        recent.update((each.number, each) for each in stored)
        while len(recent) > RECENT:
            del recent[next(iter(recent))]
        self._recent = recent  # replaced whole: readers have no lock
        if stored:
            self._newest = stored[-1].number

    def _is_stale(self, result: Result, received_ns: int | None) -> bool:
        return received_ns is None or result.boot_id != self._present_boot

    def _refreshed(self, stored: StoredResult) -> StoredResult:
        stale = self._is_stale(stored.result, stored.received_ns)
        if stale is stored.stale:
            return stored
        return StoredResult(stored.number, stored.result, stored.received_ns, stale)

    def _read(self, where: str, *values: object) -> list[StoredResult]:
        with self._read_lock:
            rows = self._reader.execute(f"SELECT number, payload, received_ns FROM results {where}", values)  # noqa: S608
            found = [(number, decode_result([_TOPIC, payload]), at_ns) for number, payload, at_ns in rows]
        return [StoredResult(number, result, at, self._is_stale(result, at)) for number, result, at in found]

    def _read_one(self, where: str, *values: object) -> StoredResult | None:
        try:
            return next(iter(self._read(where, *values)), None)
        except UnicodeEncodeError:
            return None

    def _one(self, query: str, *values: object) -> Any:
        row = self._reader.execute(query, values).fetchone()
        return row[0] if row else None

    def _trim(self) -> None:
        """Delete the oldest results that nobody needs; too large a file also those that somebody needs."""
        confirmed = min(self._cursors.values(), default=self._newest)
        self._delete_to(min(self._newest - self._keep, confirmed))
        used = self._used_bytes()
        if used > self._max_bytes:
            oldest = int(self._writer.execute("SELECT ifnull(min(number), 0) FROM results").fetchone()[0])
            count = self._newest - oldest + 1
            last = oldest + max(int(count * (1 - self._max_bytes / used)), DELETED_AT_ONCE)
            self._count_unconfirmed(oldest, min(last, self._newest - 1))
            self._delete_to(min(last, self._newest - 1))

    def _count_unconfirmed(self, oldest: int, last: int) -> None:
        for consumer, number in self._cursors.items():
            gap = last - max(number, oldest - 1)
            if gap > 0:
                self.deleted_unconfirmed[consumer] = self.deleted_unconfirmed.get(consumer, 0) + gap
                self._log.error(
                    "gap", consumer=consumer, results=gap, last_number=last, store=str(self._path)
                )

    def _delete_to(self, last: int) -> None:
        if last > 0:
            with transaction(self._writer):
                self._writer.execute("DELETE FROM results WHERE number <= ?", (last,))

    def _used_bytes(self) -> int:
        pages, free, size = (
            int(self._writer.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size


def _note(ids: dict[str, ReceivedIds], result: Result) -> None:
    """Note a result as received; the first boot of all is followed from its first result on."""
    if result.boot_id not in ids:
        ids[result.boot_id] = ReceivedIds(0 if ids else result.result_id - 1)
    ids[result.boot_id].take(result.result_id)
