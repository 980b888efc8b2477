"""A durable record of results: one JSON object a line, each result once, continued after a kill.

A line holds `received_ns` (CLOCK_REALTIME, null for a recovered result) and `result`, the fields of WIRE.md.
"""

from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from cmfm_client.errors import RecordError
from cmfm_client.events import Received
from cmfm_client.json_lines import cut_torn_line, open_json_lines, read_json_lines, write_json_line
from cmfm_client.received_ids import ReceivedIds


class ResultLog:
    """Appends results to a file; without a path it writes nothing.

    With `resume` it continues the file that is there, and `received` says what the file holds, for
    `SubscriberOptions.received`; otherwise it starts a new file. `from_start`: results before the first one in the
    file are wanted as well.

    Use it from one thread at a time, as a context, or call `close`. Raises RecordError naming the file.
    """

    def __init__(self, path: Path | str | None, *, resume: bool = False, from_start: bool = False) -> None:
        place = Path(path) if path is not None else None
        self.received: dict[str, ReceivedIds] = {}
        if place is not None and resume:
            cut_torn_line(place)
            self.received = read_received_ids(place, from_start=from_start)
        self._file = open_json_lines(place, "a" if resume else "w") if place is not None else None

    def __enter__(self) -> "ResultLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, received: Received) -> None:
        """Append a result. It survives this process from then on; a power cut may take the last ones."""
        if self._file is not None:
            line = {"received_ns": received.received_ns, "result": asdict(received.result)}
            write_json_line(self._file, line)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_received_ids(path: Path, *, from_start: bool = False) -> dict[str, ReceivedIds]:
    """Which results a record holds, by boot, the latest boot last; empty for a missing file.

    With `from_start` results of the first boot before the first one recorded are owed as well. Raises RecordError
    naming the line.
    """
    boots: dict[str, ReceivedIds] = {}
    for number, line in read_json_lines(path) if path.is_file() else ():
        try:
            boot_id, result_id = line["result"]["boot_id"], int(line["result"]["result_id"])
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{path}:{number}: not a result record ({error!r})") from error
        if boot_id not in boots:
            joined_late = not boots and not from_start
            boots[boot_id] = ReceivedIds(newest=result_id - 1 if joined_late else 0)
        boots[boot_id].take(result_id)
    return boots
