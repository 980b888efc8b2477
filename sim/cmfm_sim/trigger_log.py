"""Triggers on disk, one JSON object a line: what a simulated camera fired, and what it did to each frame.

With a record of results it gives the account of a run from outside the worker (`accounting`). A trigger is written
before its frame is sent, so that a killed camera leaves no result without its trigger.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from cmfm_client.errors import RecordError
from cmfm_client.events import Key
from cmfm_client.json_lines import open_json_lines, read_json_lines, write_json_line
from cmfm_sim.faults import MUST_FAULT, FaultKind


@dataclass(frozen=True, slots=True)
class TriggerRecord:
    """One trigger, what lay under the camera, and what was done to its frame.

    `trigger_ns` CLOCK_REALTIME, as scheduled; `defect` "good" for a nominal part; `sent` is False if the camera had
    to drop the frame itself.
    """

    stream_uuid: str
    seq: int
    part_id: str
    trigger_ns: int
    deadline_ms: float
    recipe: str
    label: int  # 1 for a defective part
    defect: str
    faults: tuple[FaultKind, ...] = ()
    sent: bool = True

    @property
    def key(self) -> Key:
        """Identity of the trigger, shared with its result."""
        return self.stream_uuid, self.seq

    @property
    def must_fault(self) -> bool:
        """True if no worker can have inspected this part in time."""
        return not self.sent or not MUST_FAULT.isdisjoint(self.faults)


class TriggerLog:
    """Appends triggers to a file, each line complete on its own; without a path it writes nothing.

    Raises RecordError naming the file.
    """

    def __init__(self, path: Path | None) -> None:
        self._file = open_json_lines(path) if path else None

    def __enter__(self) -> "TriggerLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def trigger(self, record: TriggerRecord) -> None:
        """Write a trigger."""
        self._write({"event": "trigger", **asdict(record)})

    def not_sent(self, stream_uuid: str, seq: int) -> None:
        """Write that the camera dropped the frame of an earlier trigger."""
        self._write({"event": "not_sent", "stream_uuid": stream_uuid, "seq": seq})

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is not None:
            write_json_line(self._file, line)


class TriggerMemory(TriggerLog):
    """A log of triggers that also keeps them in memory."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path)
        self.records: dict[Key, TriggerRecord] = {}

    def trigger(self, record: TriggerRecord) -> None:
        """Write and keep a trigger."""
        self.records[record.key] = record
        super().trigger(record)

    def not_sent(self, stream_uuid: str, seq: int) -> None:
        """Note that the camera dropped the frame of an earlier trigger."""
        key = (stream_uuid, seq)
        self.records[key] = replace(self.records[key], sent=False)
        super().not_sent(stream_uuid, seq)


def read_triggers(path: Path) -> list[TriggerRecord]:
    """Read the triggers in a file that `TriggerLog` wrote. Raises RecordError naming the line."""
    records: dict[Key, TriggerRecord] = {}
    for number, line in read_json_lines(path):
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
            raise RecordError(f"{path}:{number}: not a trigger record ({error!r})") from error
    return list(records.values())
