"""`cmfm-camera trigger --config trigger.toml`: run one photo-eye until SIGTERM or SIGINT."""

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import zmq

from cmfm_cameras.errors import ExitCode, InputError
from cmfm_cameras.photo_eye.announcers import (
    Announcer,
    ControlAnnouncer,
    Outcome,
    SocketAnnouncer,
    socket_options,
)
from cmfm_cameras.photo_eye.edges import EdgeInput
from cmfm_cameras.photo_eye.eye import PhotoEye
from cmfm_cameras.photo_eye.heartbeats import Heartbeats
from cmfm_cameras.photo_eye.input_thread import InputThread
from cmfm_cameras.photo_eye.metrics import serve_metrics
from cmfm_cameras.photo_eye.part_state import PartState, read_state
from cmfm_cameras.photo_eye.problems import client_keys, problems_of, socket_keys
from cmfm_cameras.run import stop_signals
from cmfm_cameras.settings.trigger import AnnounceSection, TriggerSettings, load_with_sources
from cmfm_client.sockets import ZmqContext
from cmfm_protocol.clock import NS_PER_MS
from cmfm_service.log import logging_to_stderr
from cmfm_service.systemd import SystemdNotifier

TURN_S: Final = 0.05
"""Longest wait for an edge: heartbeats are looked at between."""


def run_trigger(config: Path) -> int:
    """Run until told to stop; returns the exit code. Raises InputError, StartupError and errors of key files."""
    settings = load_with_sources(config).settings
    if problems := problems_of(settings):
        raise InputError("\n".join(problems))
    with logging_to_stderr(settings.log.format, settings.log.level), stop_signals() as stopped:
        serve(settings, stopped.is_set)
    return int(ExitCode.OK)


def serve(settings: TriggerSettings, stopped: Callable[[], bool]) -> None:
    """Start, announce, stop. Returns after a signal.

    Raises BindError if the endpoint is taken, StartupError, InputError, and errors of the input's thread.
    """
    log = structlog.get_logger("trigger")
    state = read_state(settings.announce.state)
    notifier = SystemdNotifier.from_environment(os.environ, os.getpid())
    with contextlib.ExitStack() as stack:
        stack.callback(notifier.close)
        program = stack.enter_context(opened(settings, state, input_of(settings, state)))
        stack.callback(serve_metrics(settings.metrics, program.eye))
        log.info("trigger_started", input=settings.input.kind, part=state.part)
        notifier.ready("running")
        while not stopped():
            program.turn()
            notifier.turned(lambda: status_of(program.eye))
        notifier.stopping("stopping")
    counts = program.eye.counts
    log.info("trigger_stopped", edges=counts.edges, announced=counts.outcomes["announced"])


@dataclass(frozen=True, slots=True)
class Program:
    """A photo-eye that runs: the input in its thread, everything else in `turn`."""

    eye: PhotoEye
    announcer: Announcer
    heartbeats: Heartbeats
    thread: InputThread

    def turn(self) -> None:
        """Take heartbeats and edges, and announce; returns within a fraction of a second."""
        for heard in self.heartbeats.heard():
            self.eye.heard(heard)
        event = self.thread.next_event(TURN_S)
        if event is not None:
            self.eye.take(event, self.announcer)
        self.announcer.turn(time.time_ns())


@contextlib.contextmanager
def opened(
    settings: TriggerSettings, state: PartState, open_input: Callable[[], EdgeInput]
) -> Iterator[Program]:
    """Open sockets and start the input's thread, while the context lasts."""
    section = settings.announce
    with contextlib.ExitStack() as stack:
        context: ZmqContext = stack.enter_context(zmq.Context())
        eye = PhotoEye(section, state)
        announcer = announcer_of(context, section, eye.outcome)
        stack.callback(announcer.close)
        camera_keys = client_keys(section, section.camera_key)
        heartbeats = Heartbeats(context, section.camera, section.line, section.station, camera_keys)
        stack.callback(heartbeats.close)
        thread = InputThread(open_input, reopen_max_s=settings.input.reopen_max_s)
        stack.callback(thread.stop)
        thread.start()
        yield Program(eye, announcer, heartbeats, thread)


def status_of(eye: PhotoEye) -> str:
    """Return the line that `systemctl status` shows."""
    counts = eye.counts
    return f"{'input open' if counts.is_open else 'no input'}: {counts.edges} parts, {dict(counts.outcomes)}"


def announcer_of(context: ZmqContext, section: AnnounceSection, outcome: Outcome) -> Announcer:
    """Return the way to announce that the settings name. Raises BindError, EndpointError, KeyFileError."""
    if section.through == "control":
        keys = client_keys(section, section.worker_key)
        return ControlAnnouncer(context, section.control, keys, outcome)
    options = socket_options(section.endpoint, socket_keys(section))
    return SocketAnnouncer(context, options, (section.line, section.station), outcome)


def input_of(settings: TriggerSettings, state: PartState) -> Callable[[], EdgeInput]:
    """Return what opens the input of the settings; what is known of it survives its outages."""
    if settings.input.kind == "gpio":
        from cmfm_cameras.photo_eye.gpio import GpioInput, library

        return functools.partial(GpioInput, settings.gpio, library())
    from cmfm_cameras.photo_eye.modbus import Memory, ModbusInput

    memory = Memory(settings.modbus, round(settings.announce.latency_ms * NS_PER_MS), state.counter)
    return functools.partial(ModbusInput, settings.modbus, memory)
