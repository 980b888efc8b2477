"""The line that a chaos run disturbs: its folder, its settings, and its three processes, each started as a user would.

Camera and worker, worker and subscriber meet through proxies, so that their connections can be cut. Every boot of the
camera writes its triggers into a file of its own; the subscriber goes on with one record.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import tomli_w

from cmfm_client.errors import NoReplyError, RefusedError
from cmfm_client.requests import RequestClient
from cmfm_protocol.wire.state import WorkerState
from cmfm_sim.chaos.disk import small_disk
from cmfm_sim.chaos.proxy import Proxy
from cmfm_sim.ports import free_ports
from cmfm_sim.processes import Child, Children, program

LineSettings = Mapping[str, Mapping[str, Any]]
"""Sections of a line.toml."""

KEPT_MB: Final = 32.0
STATUS_S: Final = 0.5
BOUND: Final = ("results", "maps", "recovery", "control")
ROUGH: Final = ("rough", "rough_twin")
PORTS: Final = ("frames", *BOUND, *ROUGH, *(f"second_{name}" for name in BOUND))
FOREVER: Final = 10**9


@dataclass(frozen=True, slots=True)
class LineOptions:
    """The line's parts to send, rate and settings. `settings` as in line.toml; sockets, ledger and kept folder are set.

    `limit`: triggers a camera boot at most; `deadline_ms` must lie below the delay of late frames. `proxied`: with
    proxies between the processes. `worker`: command of the worker without its `--config`. `camera`: further options
    of `cmfm-sim replay`. `disk_mb`: size of the disk for ledger and kept parts; None takes the folder's own disk.
    `rough`: the worker also listens to the two endpoints of a rough camera.
    """

    root: Path
    category: str
    rate_hz: float
    deadline_ms: float
    limit: int
    recipe: str = ""
    settings: LineSettings = field(default_factory=dict)
    worker: Sequence[str] = field(default_factory=lambda: program("cmfm-worker"))
    camera: Sequence[str] = ()
    proxied: bool = True
    disk_mb: int | None = 96
    rough: bool = False


class ChaosLine:
    """A running line. Use it as a context; it leaves no process and no mount behind."""

    def __init__(self, folder: Path, options: LineOptions) -> None:
        self.folder = folder
        self.options = options
        self.trigger_files: list[Path] = []
        self._boots = {"camera": 0, "worker": 0, "subscriber": 0}
        self._ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._rough = 0
        with ExitStack() as closing:
            self.disk = small_disk(folder / "disk", size_mb=options.disk_mb)
            closing.callback(self.disk.close)
            self.proxies = {
                name: closing.enter_context(Proxy(self._ports[name]))
                for name in (("frames", "results") if options.proxied else ())
            }
            self._children = closing.enter_context(Children(folder / "logs"))
            self._control = closing.enter_context(RequestClient(self._bound("control"), timeout_s=STATUS_S))
            self._closing = closing.pop_all()
        self._config = self._write_config()

    def __enter__(self) -> "ChaosLine":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def ledger(self) -> Path:
        """The worker's ledger."""
        return self.folder / "disk" / "ledger.sqlite"

    @property
    def record(self) -> Path:
        """The subscriber's record."""
        return self.folder / "results.jsonl"

    @property
    def events(self) -> Path:
        """The subscriber's log of other events."""
        return self.folder / "events.jsonl"

    @property
    def worker_logs(self) -> list[Path]:
        """The logs of all boots of the worker."""
        return [self.folder / "logs" / f"worker-{boot}.log" for boot in range(self._boots["worker"])]

    @property
    def camera_endpoint(self) -> str:
        """The camera's endpoint in the worker's settings."""
        return self._reached("frames")

    def start(self, name: str, *, faults: str = "", seed: int = 0) -> Child:
        """Start the camera (with frame faults and their seed), the worker or the subscriber."""
        boot = self._boots[name]
        self._boots[name] += 1
        argv = {"camera": self._camera, "worker": self._worker, "subscriber": self._subscriber}[name]
        return self._children.start(f"{name}-{boot}", argv(boot, faults, seed))

    def start_second_worker(self) -> Child:
        """Start a second worker with sockets of its own and the ledger of the first."""
        path = self._write_config("second.toml", prefix="second_")
        boot = self._boots["second"] = self._boots.get("second", 0) + 1
        return self._children.start(f"second-{boot}", [*self.options.worker, "--config", str(path)])

    def start_rough(self, scene: str, seed: int) -> tuple[Child, Path]:
        """Start a rough camera that plays a scene. Returns it and its log."""
        options = self.options
        self._rough += 1
        name = f"rough-{self._rough}-{scene}"
        log = self.folder / f"{name}.jsonl"
        arguments = {
            "--scene": scene,
            "--seed": seed,
            "--root": options.root,
            "--category": options.category,
            "--recipe": options.recipe or options.category,
            "--deadline-ms": options.deadline_ms,
            "--line": options.settings.get("line", {}).get("name", "line1"),
            "--station": options.settings.get("line", {}).get("station", "station1"),
            "--log": log,
        }
        command = [
            *program("cmfm-sim"),
            "rough-camera",
            *(str(item) for pair in arguments.items() for item in pair),
        ]
        for port in ROUGH:
            command += ["--endpoint", self._bound(port)]
        return self._children.start(name, command), log

    def boots(self, name: str) -> int:
        """Number of times that a process was started."""
        return self._boots[name]

    def recorded(self, boot_id: str) -> int:
        """Number of results of a boot of the worker that the subscriber has recorded."""
        if not self.record.is_file():
            return 0
        with self.record.open(encoding="utf-8") as lines:
            return sum(boot_id in line for line in lines)

    def status(self) -> WorkerState | None:
        """The worker's state; None if it does not reply."""
        try:
            return self._control.status()
        except (NoReplyError, RefusedError):
            return None

    def _camera(self, boot: int, faults: str, seed: int) -> list[str]:
        options = self.options
        self.trigger_files.append(self.folder / f"triggers-{boot}.jsonl")
        arguments = {
            "--dataset": "mvtec3d",
            "--root": options.root,
            "--category": options.category,
            "--recipe": options.recipe or options.category,
            "--rate": options.rate_hz,
            "--deadline-ms": options.deadline_ms,
            "--endpoint": self._bound("frames"),
            "--line": options.settings.get("line", {}).get("name", "line1"),
            "--station": options.settings.get("line", {}).get("station", "station1"),
            "--loop": FOREVER,
            "--limit": options.limit,
            "--shuffle": seed,
            "--seed": seed,
            "--faults": faults,
            "--record": self.trigger_files[-1],
            "--wait-s": FOREVER,
        }
        return [
            *program("cmfm-sim"),
            "replay",
            "--json",
            *(str(item) for pair in arguments.items() for item in pair),
            *options.camera,
        ]

    def _worker(self, _boot: int, _faults: str, _seed: int) -> list[str]:
        return [*self.options.worker, "--config", str(self._config)]

    def _subscriber(self, _boot: int, _faults: str, _seed: int) -> list[str]:
        command = [*program("cmfm-sim"), "record", "--out", str(self.record), "--events", str(self.events)]
        return [
            *command,
            "--endpoint",
            self._reached("results"),
            "--recover-endpoint",
            self._bound("recovery"),
        ]

    def _write_config(self, name: str = "line.toml", prefix: str = "") -> Path:
        given = {name: dict(table) for name, table in self.options.settings.items()}
        sockets = {name: self._bound(prefix + name) for name in BOUND}
        cameras = [self.camera_endpoint, *(self._bound(rough) for rough in ROUGH if self.options.rough)]
        given["sockets"] = {"frames": cameras, **sockets}
        given["ledger"] = {**given.get("ledger", {}), "path": "disk/ledger.sqlite"}
        given["kept"] = {**given.get("kept", {}), "folder": "disk/kept", "max_mb": KEPT_MB}
        path = self.folder / name
        path.write_text(tomli_w.dumps(given), encoding="utf-8")
        return path

    def _bound(self, name: str) -> str:
        return f"tcp://127.0.0.1:{self._ports[name]}"

    def _reached(self, name: str) -> str:
        return self.proxies[name].endpoint if name in self.proxies else self._bound(name)
