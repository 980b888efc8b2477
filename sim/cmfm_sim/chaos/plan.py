"""A chaos plan: acts on processes and connections with their times, drawn from a seed. Pure; `run` carries it out."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np


class ActKind(StrEnum):
    """Kinds of acts on a line."""

    KILL_CAMERA = "kill-camera"
    STOP_CAMERA = "stop-camera"
    KILL_WORKER = "kill-worker"
    STOP_WORKER = "stop-worker"
    KILL_SUBSCRIBER = "kill-subscriber"
    STOP_SUBSCRIBER = "stop-subscriber"
    CUT_FRAMES = "cut-frames"
    CUT_RESULTS = "cut-results"
    SLOW_FRAMES = "slow-frames"
    FULL_DISK = "full-disk"
    FLAG_FRAMES = "flag-frames"  # the proxy damages ZMTP's framing: a flag byte
    LENGTH_FRAMES = "length-frames"  # a length byte
    GREETING_FRAMES = "greeting-frames"  # the greeting of the next connection
    OVERSIZE_FRAMES = "oversize-frames"  # a message frame above every limit is announced
    FOREIGN_FRAMES = "foreign-frames"  # another service answers at the camera's address
    SECOND_WORKER = "second-worker"  # a second worker is started on the same ledger
    ROUGH_JUMP = "rough-jump"  # a rough camera plays a scene on an endpoint of its own (`scenes`)
    ROUGH_REPEAT = "rough-repeat"
    ROUGH_CHANGED = "rough-changed"
    ROUGH_REBOOT = "rough-reboot"
    ROUGH_TWIN = "rough-twin"
    ROUGH_OLD = "rough-old"
    ROUGH_WRAP = "rough-wrap"
    ROUGH_AHEAD = "rough-ahead"
    ROUGH_WILD = "rough-wild"
    ROUGH_BEAT = "rough-beat"

    @property
    def verb(self) -> str:
        """The deed: kill, stop, cut, slow, full, a damage to framing, second, rough."""
        return self.partition("-")[0]

    @property
    def target(self) -> str:
        """The process, connection or disk that it is done to; of a rough camera the scene."""
        return self.partition("-")[2]

    @property
    def holds(self) -> tuple[str, ...]:
        """Targets to which nothing else may be done meanwhile."""
        return ("rough", "worker") if self.verb == "rough" else (self.target,)


PROCESS_KINDS: Final = (
    ActKind.KILL_CAMERA,
    ActKind.STOP_CAMERA,
    ActKind.KILL_WORKER,
    ActKind.STOP_WORKER,
    ActKind.KILL_SUBSCRIBER,
    ActKind.STOP_SUBSCRIBER,
)

DURATION_S: Final = {
    "kill": (0.2, 3.0),
    "stop": (1.5, 4.0),
    "cut": (0.0, 0.0),
    "slow": (1.0, 3.0),
    "full": (1.0, 4.0),
    "flag": (0.0, 0.0),
    "length": (0.0, 0.0),
    "greeting": (0.0, 0.0),
    "oversize": (0.0, 0.0),
    "foreign": (0.5, 2.0),
    "second": (6.0, 6.0),
    "rough": (6.0, 6.0),
}
"""Shortest and longest duration of each verb, until the process runs, the link is fast or the disk has room again.

A second worker and a rough camera end by themselves; their time is what they take on a quiet machine."""

DAMAGES: Final = ("flag", "length", "greeting", "oversize", "foreign")
"""Verbs that damage the framing of a connection."""

HEAL_S: Final = 5.0
"""Time after such an act in which the connection may be made again undisturbed."""

QUIET_S: Final = 1.0
"""Shortest time between two acts on one target: the second must find something to disturb."""

FIRST_S: Final = 1.0

FRAME_FAULTS: Final = (
    "drop=0.02,duplicate=0.02,reorder=0.02,corrupt=0.02,truncate=0.015,oversize=0.01,wrong=0.015,garbage=0.015,"
    "version=0.01,clock=0.02,late=0.005:3s,stall=0.003:0.4s"
)
"""Faults of frames beside the acts, as shares of the triggers."""


@dataclass(frozen=True, slots=True)
class Act:
    """`kind` begins `at_s` after the line is up and lasts `for_s`."""

    at_s: float
    kind: ActKind
    for_s: float

    def __str__(self) -> str:
        lasting = f" for {self.for_s:.1f} s" if self.for_s else ""
        return f"{self.at_s:7.1f} s  {self.kind}{lasting}"


@dataclass(frozen=True, slots=True)
class ChaosPlan:
    """Acts in order, within `duration_s`; `frame_faults` as `FaultPlan.parse` takes them."""

    seed: int
    duration_s: float
    acts: tuple[Act, ...]
    frame_faults: str = FRAME_FAULTS

    @classmethod
    def draw(
        cls,
        seed: int,
        duration_s: float,
        *,
        every_s: float = 3.0,
        kinds: Sequence[ActKind] = tuple(ActKind),
        frame_faults: str = FRAME_FAULTS,
    ) -> "ChaosPlan":
        """Draw one act every `every_s` on average; every kind comes before one comes again."""
        rng = np.random.default_rng(seed)
        acts: list[Act] = []
        free_s: dict[str, float] = {}
        at_s = FIRST_S
        while True:
            for index in rng.permutation(len(kinds)):
                kind = kinds[index]
                for_s = round(float(rng.uniform(*DURATION_S[kind.verb])), 2)
                start_s = round(max(at_s, *(free_s.get(target, 0.0) for target in kind.holds)), 2)
                at_s += float(rng.uniform(0.5, 1.5)) * every_s
                if start_s + for_s > duration_s:
                    return cls(seed, duration_s, tuple(sorted(acts, key=lambda act: act.at_s)), frame_faults)
                acts.append(Act(start_s, kind, for_s))
                quiet_s = HEAL_S if kind.verb in DAMAGES else QUIET_S
                free_s |= dict.fromkeys(kind.holds, start_s + for_s + quiet_s)

    @classmethod
    def in_turn(
        cls, seed: int, duration_s: float, *, every_s: float, frame_faults: str = FRAME_FAULTS
    ) -> "ChaosPlan":
        """Kill or stop each of the three processes every `every_s`, one after the other."""
        rng = np.random.default_rng(seed)
        acts = []
        step_s = every_s / 3
        for number in range(int((duration_s - FIRST_S) / step_s)):
            turn, target = divmod(number, 3)
            kind = PROCESS_KINDS[2 * target + turn % 2]
            for_s = round(float(rng.uniform(*DURATION_S[kind.verb])), 2)
            acts.append(Act(round(FIRST_S + number * step_s, 2), kind, for_s))
        return cls(seed, duration_s, tuple(acts), frame_faults)

    def frame_seed(self, boot: int) -> int:
        """Seed of the frame faults of the camera's boot number `boot`."""
        return self.seed * 1000 + boot

    def __str__(self) -> str:
        acts = "\n".join(map(str, self.acts))
        return f"seed {self.seed}, {self.duration_s:g} s\nframes: {self.frame_faults or 'no faults'}\n{acts}"
