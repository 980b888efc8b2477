"""Measures how fast frames get from a camera's TCP socket into the ring, through the line's own intake."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
import zmq

from cmfm_protocol.clock import NS_PER_MS, SystemClock
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.bench.camera import Order
from cmfm_worker.bench.line_folder import LINE, RECIPE, STATION, CameraProcess, write_frames, write_recipe
from cmfm_worker.bench.made_up_frames import Frames
from cmfm_worker.bench.options import BenchError
from cmfm_worker.bench.stages import Setup
from cmfm_worker.inspection.inspector import inspector_maker
from cmfm_worker.line.intake.admission import Admission
from cmfm_worker.line.intake.receiver import Receiver
from cmfm_worker.line.intake.ring import Ring
from cmfm_worker.line.intake.sequence import SequenceTracker
from cmfm_worker.line.messages import Arrived, BookEvent, Closed, Opened
from cmfm_worker.line.net.curve import read_keys
from cmfm_worker.recipes.registry import RecipeRegistry
from cmfm_worker.settings.model import Settings
from cmfm_worker.settings.sections.compute import RecipesSection
from cmfm_worker.settings.sections.network import IntakeSection, LineSection, SocketsSection

_SLOTS = 64
_FIRST_FRAME_S, _TICK_S = 60.0, 0.05
_JOIN_S = 10.0


CPU: Final = torch.device("cpu")


@dataclass
class Arrivals:
    """Frames that came out of the ring, and FAULTs that the intake decided itself."""

    frames: int = 0
    faults: list[str] = field(default_factory=list)
    first_s: float = 0.0
    last_s: float = 0.0

    def post(self, event: BookEvent) -> None:
        """Take an event in place of the verdict book; only refusals matter here."""
        if isinstance(event, Opened | Arrived | Closed) and event.decision is not None:
            self.faults.append(str(event.decision.reason))

    @property
    def frames_per_s(self) -> float:
        """Rate between the first and the last frame."""
        return (self.frames - 1) / (self.last_s - self.first_s) if self.frames > 1 else 0.0


def measure_wire(
    setup: Setup, frames: Frames, folder: Path, *, seconds: float, checksums: bool
) -> dict[str, Any]:
    """Frames of one camera over TCP loopback into the ring, for so many seconds, as fast as they are taken.

    Frames that find the ring full, because the thread behind it got no processor, are counted apart from the rate.
    Raises BenchError if the camera fails, no frame arrives, or one is lost or refused for another reason.
    """
    folder.mkdir()
    write_frames(folder / "frames.npz", frames)
    write_recipe(folder / "recipes", setup)
    order = Order(str(folder / "frames.npz"), seconds, 0.0, RECIPE, LINE, STATION, checksums)
    pixels = frames.rgb.shape[1] * frames.rgb.shape[2]
    arrivals, ring = Arrivals(), Ring(slots=_SLOTS, max_pixels=pixels, pinned=torch.cuda.is_available())
    with CameraProcess(order) as camera:
        intake, context = _intake(folder / "recipes", camera.endpoint, ring, arrivals)
        cpu_s = time.process_time()
        intake.start()
        camera.go()
        consumer = threading.Thread(target=_consume, args=(ring, arrivals), name="consumer")
        consumer.start()
        sent = camera.sent()
        while arrivals.frames + len(arrivals.faults) < sent.frames and consumer.is_alive():
            time.sleep(_TICK_S)
        cpu_s = time.process_time() - cpu_s
        ring.wake()
        consumer.join(_JOIN_S)
        intake.stop()
        intake.join(_JOIN_S)
        context.destroy(0)
    shed = arrivals.faults.count(str(Reason.RING_FULL))
    if not arrivals.frames or arrivals.frames + shed != sent.frames:
        raise BenchError(
            f"of {sent.frames} frames {arrivals.frames} reached the ring; refused: {sorted(set(arrivals.faults))}"
        )
    frame_bytes = frames.rgb[0].nbytes + frames.xyz[0].nbytes
    return {
        "checksums": checksums,
        "frame_bytes": frame_bytes,
        "frames": arrivals.frames,
        "ring_full": shed,
        "frames_per_s": arrivals.frames_per_s,
        "bytes_per_s": arrivals.frames_per_s * frame_bytes,
        "cpu_s_per_frame": cpu_s / max(1, arrivals.frames),
        "camera": asdict(sent),
    }


def _intake(
    recipes: Path, endpoint: str, ring: Ring, arrivals: Arrivals
) -> tuple[Receiver, zmq.Context[zmq.Socket[bytes]]]:
    """The line's own intake behind one camera."""
    settings = Settings(
        line=LineSection(name=LINE, station=STATION),
        sockets=SocketsSection(frames=(endpoint,)),
        recipes=RecipesSection(folder=recipes, default=RECIPE),
        intake=IntakeSection(repeated="warn"),  # the camera repeats its pictures
    )
    registry = RecipeRegistry(
        settings.recipes, make_inspector=inspector_maker(settings.weights.folder, CPU), device=CPU
    )
    registry.load_all()
    window_ns = int(settings.intake.reorder_window_ms * NS_PER_MS)
    admission = Admission(
        settings=settings.intake,
        ring=ring,
        recipes=registry,
        tracker=SequenceTracker(max_gap=settings.intake.max_gap, window_ns=window_ns),
        post=arrivals.post,
        done_ns=lambda now_ns: now_ns,
        clock=SystemClock(),
        cameras=settings.camera_names,
    )
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    return Receiver(settings, context, admission, arrivals.post, read_keys(settings.curve)), context


def _consume(ring: Ring, arrivals: Arrivals) -> None:
    """Take every frame out of the ring and release its slot at once; end when the ring is woken or stays empty."""
    while (slot := ring.take(timeout_s=_FIRST_FRAME_S)) is not None:
        arrivals.last_s = time.perf_counter()
        arrivals.first_s = arrivals.first_s or arrivals.last_s
        arrivals.frames += 1
        ring.release(slot.index)
