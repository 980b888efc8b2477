"""The demo's conveyor: `cmfm-sim replay` over the test parts, once for the account, then on and on for the page."""

from pathlib import Path
from typing import Final

from cmfm_sim.demo_line import DemoFolder, Endpoints
from cmfm_sim.demo_options import DemoOptions
from cmfm_sim.processes import Child, Children, program

USUAL_RATE_HZ: Final = 4.0
"""Parts a second, slow enough to watch."""

LOAD: Final = 0.6
"""Largest share of the worker's capacity that is asked of it: camera, pictures and terminal need the machine too."""

ROUND_RATE_HZ: Final = 1.0
"""Parts a second while a person looks at the page."""

ROUNDS: Final = 10_000
"""Rounds of the page's conveyor: it is ended long before."""


def rate_for(part_ms: float | None) -> float:
    """Parts a second for a worker that needs `part_ms` a part: the usual rate, or less for a slow one."""
    return min(USUAL_RATE_HZ, LOAD * 1000 / part_ms) if part_ms else USUAL_RATE_HZ


class DemoConveyor:
    """Starts the simulated camera of a demo, at `rate_hz`."""

    def __init__(
        self,
        children: Children,
        folder: DemoFolder,
        endpoints: Endpoints,
        options: DemoOptions,
        rate_hz: float,
    ) -> None:
        self.rate_hz = rate_hz
        self._children = children
        self._folder = folder
        self._endpoints = endpoints
        self._options = options

    def once(self) -> Child:
        """Start a replay of every test part, recorded in `DemoFolder.triggers`."""
        return self._start("replay", self.rate_hz, self._folder.triggers, 1)

    def round_after_round(self) -> Child:
        """Start a replay that goes on until it is ended, recorded in `DemoFolder.rounds`."""
        rate_hz = min(self.rate_hz, ROUND_RATE_HZ)
        return self._start("rounds", rate_hz, self._folder.rounds, ROUNDS)

    def _start(self, name: str, rate_hz: float, record: Path, passes: int) -> Child:
        options = self._options
        categories = [item for category in options.categories for item in ("--category", category)]
        arguments = {
            "--dataset": "synthetic",
            "--root": self._folder.dataset,
            "--rate": rate_hz,
            "--loop": passes,
            "--endpoint": self._endpoints.frames,
            "--deadline-ms": options.deadline_ms,
            "--shuffle": options.seed,
            "--seed": options.seed,
            "--faults": options.faults,
            "--record": record,
        }
        named = [str(item) for pair in arguments.items() for item in pair]
        announced = ["--triggers"] if options.triggers else []
        return self._children.start(
            name, [*program("cmfm-sim"), "replay", *categories, *named, *announced, "--json"]
        )
