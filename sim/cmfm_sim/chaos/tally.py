"""The account of a chaos run from outside: triggers fired, verdicts in the ledger, verdicts received.

It keeps nine bytes a trigger. Files are read line by line and row by row, so that a million parts take a few megabytes.

The rules:

1. A trigger has at most one verdict in the ledger, over all boots of the worker.
2. It may lack one only if it is *unannounced*: it belongs to the end of a stream whose camera was killed, and no
   later message of that stream reached a worker. No worker can know of it; a PLC rejects it by its deadline. A trigger
   fired while the worker had the camera and nothing was disturbed (`connected`) must have a verdict.
3. A part that cannot have been inspected has a FAULT.
4. The results received equal the ledger. Only of a boot that was killed may a verdict have been lost on its way
   (*unheard*): the PLC rejects the part by its deadline, and the ledger has the verdict.
5. A part without a fault of its own, fired while the worker had the camera and nothing was disturbed, is not lost, and
   its verdict is no more than a second late: what another part or another camera does costs it nothing.

Results of a rough camera's streams are `rough`; `rough_account` judges them.
"""

import sqlite3
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from cmfm_client.events import Key
from cmfm_client.json_lines import read_json_lines
from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_sim.chaos.connected import Span
from cmfm_sim.errors import InputError
from cmfm_sim.faults import MUST_FAULT

FIRED, MUST_BE_FAULT, HAS_VERDICT, FAULTY, LOST, LATE = 1, 2, 4, 8, 16, 32
LOSSES: Final = frozenset(
    {Reason.LOST, Reason.MALFORMED, Reason.CHECKSUM, Reason.TRUNCATED, Reason.CLOCK_SKEW}
)
"""Reasons of a FAULT that neither load nor a disturbed connection explains.

`repeated_frame` is not among them: the feed has few parts, and one may follow itself if those between are lost."""

LATE_NS: Final = 10**9
ROUGH_PART: Final = "rough-"
"""Beginning of the part ids of a rough camera."""

CODES: Final = {str(verdict): code for code, verdict in enumerate(Verdict, start=1)}
SHOWN: Final = 5

LEDGER_ROWS: Final = (
    "SELECT boot_id, result_id, stream_uuid, seq, verdict, reason, part_id, done_ns FROM triggers"
)
LEDGER_BOOTS: Final = "SELECT boot_id, ending, rows_lost FROM boots"


class Tally:
    """Add the triggers of each camera boot, then the ledger, then the record; `settle`; then read `problems`.

    `rough` are the streams of rough cameras.
    """

    def __init__(self, rough: Collection[str] = ()) -> None:
        self.rough = 0
        self._rough_streams = frozenset(rough)
        self.verdicts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.unattributed = 0
        self.received = 0
        self.unheard = 0
        self.unannounced = 0
        self.endings: Counter[str] = Counter()
        self._streams: dict[str, bytearray] = {}
        self._fired_ns: dict[str, array[int]] = {}
        self._deadline_ns = 0
        self._killed: set[str] = set()  # streams of killed cameras
        self._boots: dict[str, bytearray] = {}  # by result id: the verdict's code, + HEARD
        self._clean: set[str] = set()
        self._found: dict[str, list[object]] = {}

    @property
    def triggers(self) -> int:
        """Triggers fired by all cameras."""
        return sum(len(stream) for stream in self._streams.values())

    def add_triggers(self, path: Path, *, killed: bool) -> None:
        """Add the `TriggerLog` of one boot of a camera; `killed`: it was killed. Raises InputError, RecordError."""
        for number, line in read_json_lines(path):
            try:
                stream = self._streams.setdefault(line["stream_uuid"], bytearray())
                if line["event"] == "not_sent":
                    stream[line["seq"]] |= MUST_BE_FAULT | FAULTY
                    continue
                if line["seq"] != len(stream):
                    raise InputError(f"{path}:{number}: seq {line['seq']} follows {len(stream) - 1}")
                self.faults.update(line["faults"])
                stream.append(_flags(line["faults"]))
                self._fired_ns.setdefault(line["stream_uuid"], array("q")).append(line["trigger_ns"])
                self._deadline_ns = int(line["deadline_ms"] * 1e6)
            except (KeyError, IndexError, TypeError) as error:
                raise InputError(f"{path}:{number}: not a trigger record ({error!r})") from error
            if killed:
                self._killed.add(line["stream_uuid"])

    def add_ledger(self, path: Path) -> None:
        """Add all rows of the worker's ledger. Raises InputError."""
        try:
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            for boot_id, ending, rows_lost in connection.execute(LEDGER_BOOTS):
                self.endings[ending] += 1
                if ending == "clean":
                    self._clean.add(boot_id)
                if rows_lost:
                    self._find("rows that the ledger lost", (boot_id, rows_lost))
            for row in connection.execute(LEDGER_ROWS):
                self._row(*row)
            connection.close()
        except sqlite3.Error as error:
            raise InputError(f"ledger {path} cannot be read: {error}") from error

    def add_record(self, path: Path) -> None:
        """Add all results that the subscriber recorded. Raises InputError, RecordError."""
        for number, line in read_json_lines(path):
            try:
                result = line["result"]
                self._result(result["boot_id"], result["result_id"], result["verdict"])
            except (KeyError, TypeError) as error:
                raise InputError(f"{path}:{number}: not a result record ({error!r})") from error

    def settle(self, connected: Sequence[Span] = ()) -> None:
        """Count triggers without a verdict and results that were not received. Call it last."""
        for uuid, stream in self._streams.items():
            self._settle_stream(uuid, stream, connected)
        for boot_id, heard in self._boots.items():
            unheard = sum(0 < code < HEARD for code in heard)
            self.unheard += unheard
            if unheard and boot_id in self._clean:
                self._find("verdicts of a worker that ended in order, never received", (boot_id[:8], unheard))

    def problems(self) -> list[str]:
        """Violations of the rules, one line each."""
        return [f"{len(found)} {what}: {_named(found)}" for what, found in self._found.items()]

    def _row(
        self,
        boot_id: str,
        result_id: int,
        uuid: str,
        seq: int,
        verdict: str,
        reason: str,
        part_id: str,
        done_ns: int,
    ) -> None:
        boot = self._boots.setdefault(boot_id, bytearray())
        boot.extend(bytes(max(result_id + 1 - len(boot), 0)))
        boot[result_id] = CODES[verdict]
        if uuid in self._rough_streams or part_id.startswith(ROUGH_PART):
            self.rough += 1
            return
        self.verdicts[verdict] += 1
        self.reasons[reason] += 1
        key = (uuid, seq)
        if uuid == UNATTRIBUTED_STREAM:
            self.unattributed += 1
            if verdict != Verdict.FAULT:
                self._find("verdicts other than FAULT on messages of no part", key)
            return
        stream = self._streams.get(uuid, b"")
        if seq >= len(stream):
            self._find("verdicts on parts that were never triggered", key)
            return
        self._verdict(key, verdict)
        lost = reason in LOSSES and not stream[seq] & FAULTY
        late = done_ns > self._fired_ns[uuid][seq] + self._deadline_ns + LATE_NS
        self._streams[uuid][seq] |= (LOST if lost else 0) | (LATE if late else 0)

    def _verdict(self, key: Key, verdict: str) -> None:
        stream, seq = self._streams[key[0]], key[1]
        if stream[seq] & HAS_VERDICT:
            self._find("triggers with more than one verdict", key)
        if stream[seq] & MUST_BE_FAULT and verdict != Verdict.FAULT:
            what = "PASS verdicts" if verdict == Verdict.PASS else "verdicts other than FAULT"
            self._find(f"{what} on parts that cannot have been inspected", key)
        stream[seq] |= HAS_VERDICT

    def _result(self, boot_id: str, result_id: int, verdict: str) -> None:
        boot = self._boots.get(boot_id, b"")
        code = boot[result_id] if result_id < len(boot) else 0
        if code == 0:
            self._find("verdicts received that the ledger does not have", (boot_id, result_id))
            return
        if code >= HEARD:
            self._find("results recorded twice", (boot_id, result_id))
            return
        if code != CODES[verdict]:
            self._find("verdicts received that are not the ledger's", (boot_id, result_id))
        self._boots[boot_id][result_id] = code + HEARD
        self.received += 1

    def _settle_stream(self, uuid: str, stream: bytearray, connected: Sequence[Span]) -> None:
        last = next((seq for seq in range(len(stream) - 1, -1, -1) if stream[seq] & HAS_VERDICT), -1)
        for seq in range(last + 1, len(stream)):
            if uuid not in self._killed:
                self._find("triggers without a verdict at the end of a stream", (uuid, seq))
            elif self._is_in(uuid, seq, connected):
                self._find("triggers without a verdict of a camera that was connected", (uuid, seq))
            else:
                self.unannounced += 1
        for seq in _without(stream[: last + 1]):
            self._find("triggers without a verdict", (uuid, seq))
        for seq, flags in enumerate(stream):
            if flags & (LOST | LATE) and not flags & FAULTY and self._is_in(uuid, seq, connected):
                what = "that count as lost" if flags & LOST else "answered more than a second late"
                self._find(f"good parts of a connected camera {what}", (uuid, seq))

    def _is_in(self, uuid: str, seq: int, spans: Sequence[Span]) -> bool:
        return any(self._fired_ns[uuid][seq] in span for span in spans)

    def _find(self, what: str, where: object) -> None:
        self._found.setdefault(what, []).append(where)


HEARD: Final = 16


def tally_of(
    trigger_files: Sequence[Path],
    killed: Collection[int],
    ledger: Path,
    record: Path,
    connected: Sequence[Span] = (),
    rough: Collection[str] = (),
) -> Tally:
    """The tally of a run.

    `killed` are the places in `trigger_files` of cameras that were killed, `rough` the streams of rough cameras.
    """
    tally = Tally(rough)
    for boot, path in enumerate(trigger_files):
        if path.is_file():  # else it was killed before it began
            tally.add_triggers(path, killed=boot in killed)
    tally.add_ledger(ledger)
    tally.add_record(record)
    tally.settle(connected)
    return tally


def _flags(faults: Collection[str]) -> int:
    must = 0 if MUST_FAULT.isdisjoint(faults) else MUST_BE_FAULT
    return FIRED | must | (FAULTY if faults else 0)


def _without(stream: bytes | bytearray) -> Iterable[int]:
    return (seq for seq, flags in enumerate(stream) if not flags & HAS_VERDICT)


def _named(found: Sequence[object]) -> str:
    shown = ", ".join(str(where) for where in found[:SHOWN])
    return f"{shown}, …" if len(found) > SHOWN else shown
