"""Records on disk, one JSON object a line: the triggers a camera fired, and the results a subscriber received.

Together they are the account of a run from outside the worker (`accounting`). A trigger is written before its frame
is sent, so that a killed camera leaves no result without its trigger.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, Literal

import msgpack

from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.limits import PROTOCOL_MAJOR
from cmfm_protocol.wire.result import Result, decode_result
from cmfm_sim.errors import InputError
from cmfm_sim.faults import MUST_FAULT, FaultKind
from cmfm_sim.result_order import HadBefore

TAIL_BYTES: Final = 65536
"""Read at a time when the end of a line is looked for."""

Key = tuple[str, int]
"""What a trigger and its result share: stream_uuid and seq."""


@dataclass(frozen=True, slots=True)
class TriggerRecord:
    """One trigger, with what truly lay there and what was done to its frame.

    `trigger_ns` CLOCK_REALTIME, as scheduled; `defect` "good" for a nominal part; `sent` is False where the camera
    had to drop the frame itself.
    """

    stream_uuid: str
    seq: int
    part_id: str
    trigger_ns: int
    deadline_ms: float
    recipe: str
    label: int  # 1 where the part is defective
    defect: str
    faults: tuple[FaultKind, ...] = ()
    sent: bool = True

    @property
    def key(self) -> Key:
        """Shared with its result."""
        return self.stream_uuid, self.seq

    @property
    def must_fault(self) -> bool:
        """Whether no worker can have inspected this part in time."""
        return not self.sent or not MUST_FAULT.isdisjoint(self.faults)


@dataclass(frozen=True, slots=True)
class Received:
    """A result as a subscriber got it. `received_ns` CLOCK_REALTIME, None where it was recovered later."""

    result: Result
    received_ns: int | None

    @property
    def key(self) -> Key:
        """Shared with its trigger."""
        return self.result.stream_uuid, self.result.seq


class TriggerLog:
    """Appends triggers to a file, each line complete on its own; without a path it writes nothing."""

    def __init__(self, path: Path | None) -> None:
        self._file = _open_for_writing(path) if path else None

    def __enter__(self) -> "TriggerLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def trigger(self, record: TriggerRecord) -> None:
        """A trigger fired."""
        self._write({"event": "trigger", **asdict(record)})

    def not_sent(self, stream_uuid: str, seq: int) -> None:
        """Its frame was dropped by the camera."""
        self._write({"event": "not_sent", "stream_uuid": stream_uuid, "seq": seq})

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


class ResultLog:
    """Appends results to a file, each line complete on its own; without a path it writes nothing.

    With `resume` it goes on behind what is there; `had` is the newest result of that, or None.
    """

    def __init__(self, path: Path | None, *, resume: bool = False) -> None:
        self.had = _take_up(path) if path and resume else None
        self._file = _open_for_writing(path, "a" if resume else "w") if path else None

    def __enter__(self) -> "ResultLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def result(self, received: Received) -> None:
        """A result arrived."""
        if self._file is not None:
            line = {"received_ns": received.received_ns, "result": asdict(received.result)}
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


def read_triggers(path: Path) -> list[TriggerRecord]:
    """The triggers in a file that `TriggerLog` wrote. Raises InputError naming the line."""
    records: dict[Key, TriggerRecord] = {}
    for number, line in json_lines(path):
        try:
            event = line.pop("event")
            if event == "not_sent":
                key = (line["stream_uuid"], line["seq"])
                records[key] = replace(records[key], sent=False)
                continue
            line["faults"] = tuple(FaultKind(kind) for kind in line["faults"])
            record = TriggerRecord(**line)
            records[record.key] = record
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}:{number}: no trigger record ({error!r})") from error
    return list(records.values())


def read_results(path: Path) -> list[Received]:
    """The results in a file that `ResultLog` wrote. Raises InputError naming the line."""
    received = []
    for number, line in json_lines(path):
        try:
            body = msgpack.packb({"v": PROTOCOL_MAJOR, **line["result"]})
            received.append(Received(decode_result([b"", body]), line["received_ns"]))
        except (KeyError, TypeError, ValueError, RemoteProtocolError) as error:
            raise InputError(f"{path}:{number}: no result record ({error!r})") from error
    return received


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and objects; a last line without its end is what a killed writer left, and no record.

    Raises InputError naming the line.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith("\n"):
                    return
                yield number, _object(path, number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise InputError(f"{path}:{number}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}:{number}: expected an object")
    return value


def cut_torn_line(path: Path) -> None:
    """Take away a last line without its end, which a killed writer left. Raises InputError."""
    try:
        with path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(end - TAIL_BYTES, 0)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    end = start + newline + 1
                    break
                end = start
            file.truncate(end)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}") from error


def _take_up(path: Path) -> HadBefore | None:
    """The newest result in a record; a last line that a killed writer left unfinished is cut off."""
    cut_torn_line(path)
    had: HadBefore | None = None
    for _, line in json_lines(path) if path.is_file() else ():
        had = HadBefore(line["result"]["boot_id"], line["result"]["result_id"])
    return had


def _open_for_writing(path: Path, mode: Literal["a", "w"] = "w") -> TextIOWrapper:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open(mode, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}") from error
