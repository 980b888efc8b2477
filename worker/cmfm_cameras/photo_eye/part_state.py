"""The file that holds the newest part's number and the counter's last reading over restarts."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from cmfm_cameras.errors import InputError


@dataclass(slots=True)
class PartState:
    """`part` is the number of the newest part, 0 before the first; `counter` the PLC's newest reading, if it counts."""

    part: int = 0
    counter: int | None = None


def read_state(path: Path | None) -> PartState:
    """Read the file; a fresh state without one. Raises InputError for a file that is damaged."""
    if path is None or not path.exists():
        return PartState()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        state = PartState(part=found["part"], counter=found["counter"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"announce.state: {path} cannot be read ({error}); restore it, or remove it to begin at 1"
        ) from error
    if type(state.part) is not int or state.part < 0 or type(state.counter) not in (int, type(None)):
        raise InputError(
            f"announce.state: {path} holds no part number; restore it, or remove it to begin at 1"
        )
    return state


def write_state(path: Path | None, state: PartState) -> None:
    """Write the whole file or none, before the part is announced: an id never comes twice. Raises OSError."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(asdict(state), file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
