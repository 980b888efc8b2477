"""The simulated GenTL producer for minutes, and pulled again and again: every trigger accounted for, memory flat."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import zmq

from cmfm_cameras.adapters import genicam
from cmfm_cameras.capture import Capture
from cmfm_cameras.device import Device
from cmfm_cameras.device_thread import DeviceThread
from cmfm_cameras.errors import DeviceError
from cmfm_cameras.options import options_of
from cmfm_cameras.publisher import Counts, Publisher
from cmfm_cameras.settings.camera import CameraSection
from cmfm_cameras.settings.genicam import GenicamSection
from cmfm_client import Camera
from cmfm_protocol.wire.frame import decode_frame
from cmfm_protocol.wire.state import decode_camera_state
from cmfm_protocol.wire.trigger import decode_trigger

VIKY: Final = GenicamSection(producers=("viky",), device="VikyTL_DEV_red")
SAMPLE_S: Final = 1.0


@dataclass(slots=True)
class Account:
    """The messages of a subscriber: every trigger, every frame, and the number that the last heartbeat names."""

    triggers: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    next_seq: int = 0
    closed: bool = False

    def take(self, message: list[bytes]) -> None:
        """Take one message."""
        kind = message[0].split(b"/")[4]
        if kind == b"frame":
            self.frames.append(decode_frame(message).header.seq)
        elif kind == b"trigger":
            self.triggers.append(decode_trigger(message).seq)
        else:
            state = decode_camera_state(message)
            self.next_seq, self.closed = state.next_seq, state.closing

    def problems(self, dropped: int = 0) -> list[str]:
        """Return what does not add up. `dropped` frames were refused by a full socket; their triggers may be too.

        The heartbeats name their numbers all the same, and the worker answers `lost`.
        """
        found = []
        for name, numbers in (("trigger", self.triggers), ("frame", self.frames)):
            if numbers != sorted(set(numbers)):
                found.append(f"a {name} came twice, or after a later one")
        heard = set(self.triggers) | set(self.frames)
        if heard and max(heard) >= self.next_seq:
            found.append(f"the last heartbeat says {self.next_seq}, number {max(heard)} was heard")
        if self.next_seq - len(heard) > dropped:
            found.append(
                f"{self.next_seq - len(heard)} numbers were not heard, {dropped} frames were dropped"
            )
        return found


class PulledDevice:
    """The simulated device, pulled after some frames: its producer is unloaded, and loaded again."""

    def __init__(self, frames: int) -> None:
        self._device = genicam.open_device(VIKY)
        self._left = frames
        self.name, self.frame_ids = self._device.name, self._device.frame_ids

    def capture(self, timeout_s: float) -> Capture | None:
        """Return the next frame; raises DeviceError after the last one."""
        if not self._left:
            raise DeviceError("pulled")
        found = self._device.capture(timeout_s)
        self._left -= found is not None
        return found

    def close(self) -> None:
        """Unload the producer."""
        self._device.close()


def publish(
    opened: Callable[[], Device], stopped: Callable[[Counts], bool], turned: Callable[[], None]
) -> tuple[Account, Counts]:
    """Publish to a subscriber in a process of its own until `stopped`. Returns what it heard, and what was counted."""
    section = CameraSection(endpoint="tcp://127.0.0.1:*")
    with Camera(options_of(section)) as camera:
        listener = subprocess.Popen(
            [sys.executable, "-m", "cmfm_cameras.bench", "listen", camera.endpoint], stdout=subprocess.PIPE
        )
        device = DeviceThread(opened, reopen_max_s=0.25)
        publisher = Publisher(section, camera, device)
        publisher.run(lambda: stopped(publisher.counts), turned)
        device.stop()
    said, _ = listener.communicate()
    return Account(**json.loads(said)), publisher.counts


def measure_steady(seconds: float, say: Callable[[str], None]) -> bool:
    """Run the simulated producer and print what came of it. Returns True if all adds up."""
    memory: list[float] = []
    frames_s: list[float] = []  # when the first frame came: what is before is the start of two processes

    def is_over(counts: Counts) -> bool:
        now_s = time.monotonic()
        if counts.captures and not frames_s:
            frames_s.append(now_s)
        elapsed_s = now_s - frames_s[0] if frames_s else 0.0
        if elapsed_s >= SAMPLE_S * (len(memory) + 1):
            memory.append(resident_mb())
        return elapsed_s >= seconds

    cpu_s = time.process_time()
    account, counts = publish(lambda: genicam.open_device(VIKY), is_over, lambda: None)
    cpu_s = time.process_time() - cpu_s
    problems = account.problems(counts.dropped)
    tenth = max(len(memory) // 10, 1)
    early_mb = float(np.median(memory[tenth : 2 * tenth] or memory))
    say(
        f"{seconds:.0f} s: {len(account.frames)} frames ({len(account.frames) / seconds:.2f} a second), "
        f"{counts.skipped} lost by the producer, {counts.dropped} dropped, problems: {problems or 'none'}"
    )
    say(
        f"memory: {early_mb:.1f} MB after a tenth of the time, "
        f"{np.median(memory[-tenth:]):.1f} MB at the end; {cpu_s / seconds:.1%} of a core"
    )
    return not problems


def measure_pulled(times: int, frames: int, say: Callable[[str], None]) -> bool:
    """Pull the device `times` times, each after `frames` frames. Returns True if all adds up."""
    before_mb = resident_mb()
    account, counts = publish(
        lambda: PulledDevice(frames), lambda counts: counts.device_lost >= times, lambda: None
    )
    problems = account.problems(counts.dropped)
    say(
        f"pulled {counts.device_lost} times, opened {counts.opened} times: {len(account.triggers)} triggers, "
        f"{len(account.frames)} frames, {counts.skipped} lost by the producer, problems: {problems or 'none'}"
    )
    say(f"memory: {before_mb:.1f} MB before, {resident_mb():.1f} MB after")
    return not problems


def resident_mb() -> float:
    """Return the process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def listen(endpoint: str) -> Account:
    """Hear a camera until its stream ends."""
    account = Account()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context.socket(zmq.SUB) as socket:
        socket.subscribe(b"")
        socket.connect(endpoint)
        while not account.closed:
            if socket.poll(100):
                account.take(socket.recv_multipart())
    context.term()
    return account
