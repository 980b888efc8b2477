"""Recipe changes while parts run: versions of a recipe loaded over the control socket, and change-overs of the feed."""

import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cmfm_client.events import Received
from cmfm_client.requests import RequestClient
from cmfm_protocol.wire.verdict import Verdict

LOAD_LIMIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """A version came into use: between `asked_ns` and `replied_ns` (CLOCK_REALTIME) either version may decide."""

    recipe: str
    model_sha: str
    asked_ns: int
    replied_ns: int


@dataclass(slots=True)
class Witness:
    """Collects inspected verdicts by the model that they name: `take` results, then read `problems`.

    On a CPU a part's score depends on the part and the model alone, to the last bit. A verdict that was made with two
    models, or with another than it names, shows as a second score.
    """

    seen: list[tuple[int, str, str]] = field(default_factory=list)  # received_ns, recipe, model_sha
    scores: dict[tuple[str, str], set[float]] = field(default_factory=dict)

    def take(self, item: Received) -> None:
        """Add a result."""
        result = item.result
        if result.verdict is Verdict.FAULT or result.score is None or result.received_ns is None:
            return
        self.seen.append((result.received_ns, result.recipe, result.model_sha))
        part = result.part_id.partition("#")[0]
        self.scores.setdefault((part, result.model_sha), set()).add(result.score)

    def problems(self, loads: Sequence[Load]) -> list[str]:
        """Verdicts by a model that was not in use, and models with two scores for one part."""
        wrong = sum(not _may_decide(loads, *verdict) for verdict in self.seen)
        mixed = sum(len(scores) > 1 for scores in self.scores.values())
        found = [f"{wrong} verdicts name a model that was not in use when their part came"] if wrong else []
        if mixed:
            found.append(f"{mixed} pairs of part and model have more than one score")
        return found


def _may_decide(loads: Sequence[Load], received_ns: int, recipe: str, model_sha: str) -> bool:
    """True if this model may have decided on a part received at `received_ns`; no name means the first recipe."""
    recipe = recipe or loads[0].recipe
    for place, load in enumerate(mine := [load for load in loads if load.recipe == recipe]):
        ended_ns = mine[place + 1].replied_ns if place + 1 < len(mine) else None
        if (
            load.model_sha == model_sha
            and load.asked_ns <= received_ns
            and (ended_ns is None or received_ns <= ended_ns)
        ):
            return True
    return False


class Changer:
    """Makes changes in the thread "changer": a change-over of the feed, then a new version, and so on.

    `versions` are recipe folders with different models; `live` holds the two recipes `names` that the worker knows.
    """

    def __init__(
        self, control: str, live: Path, names: tuple[str, str], versions: Sequence[tuple[Path, str]]
    ) -> None:
        self.loads: list[Load] = []
        self.change_overs = 0
        self.load_s: list[float] = []
        self.failure: BaseException | None = None
        self.current = names[0]
        self._names = names
        self._control = control
        self._live = live
        self._versions = versions
        self._next_version = 0
        for name in names:
            self._put_in_place(name)
            self.loads.append(Load(name, self._placed_sha, 0, 0))

    def start(self, count: int, every_s: float) -> threading.Thread:
        """Start `count` changes, one every `every_s`; join the thread to wait for the end."""
        thread = threading.Thread(target=self._run, args=(count, every_s), name="changer", daemon=True)
        thread.start()
        return thread

    def _run(self, count: int, every_s: float) -> None:
        try:
            with RequestClient(self._control) as client:
                self._change(client, count, every_s)
        except BaseException as error:  # noqa: BLE001 (read by the thread that waits)
            self.failure = error

    def _change(self, client: RequestClient, count: int, every_s: float) -> None:
        started_s = time.monotonic()
        for number in range(count):
            time.sleep(max(started_s + number * every_s - time.monotonic(), 0))
            if number % 2:
                self._load(client, self.current)
            else:
                self.current = self._names[self.current == self._names[0]]
                self.change_overs += 1

    def _load(self, client: RequestClient, name: str) -> None:
        """Put the next version in the recipe's place, and have it loaded."""
        self._put_in_place(name)
        asked_ns, asked_s = time.time_ns(), time.monotonic()
        client.load_recipe(name, timeout_s=LOAD_LIMIT_S)
        self.load_s.append(time.monotonic() - asked_s)
        self.loads.append(Load(name, self._placed_sha, asked_ns, time.time_ns()))

    def _put_in_place(self, name: str) -> None:
        version, self._placed_sha = self._versions[self._next_version % len(self._versions)]
        self._next_version += 1
        fresh, place = self._live / f".{name}.new", self._live / name
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(version, fresh)
        shutil.rmtree(place, ignore_errors=True)
        fresh.rename(place)
