"""`cmfm-camera trigger`: edges of a photo-eye become trigger messages, none lost and none twice."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zmq
from prometheus_client import CollectorRegistry
from tests.unit.made.modbus_inputs import ModbusInputs

from cmfm_cameras.app import main
from cmfm_cameras.errors import InputError
from cmfm_cameras.photo_eye import run as photo_eye_run
from cmfm_cameras.photo_eye.counter import Counter
from cmfm_cameras.photo_eye.debounce import Debounce
from cmfm_cameras.photo_eye.edges import EdgeInput, Edges, InputLostError
from cmfm_cameras.photo_eye.eye import PhotoEye
from cmfm_cameras.photo_eye.gpio import GpioInput
from cmfm_cameras.photo_eye.input_thread import InputThread
from cmfm_cameras.photo_eye.metrics import EyeCollector, serve_metrics
from cmfm_cameras.photo_eye.modbus import Memory, ModbusInput
from cmfm_cameras.photo_eye.part_state import PartState, read_state, write_state
from cmfm_cameras.photo_eye.problems import problems_of
from cmfm_cameras.photo_eye.steps import Steps
from cmfm_cameras.settings.trigger import TriggerSettings
from cmfm_cameras.settings.trigger_input import ModbusSection
from cmfm_client import Camera, CameraKeys, CameraOptions, ClientKeys
from cmfm_protocol.files.key_files import KeyPair, write_pair
from cmfm_protocol.wire.control import AnnounceRequest, Reply, decode_request, encode_reply
from cmfm_protocol.wire.state import CameraState
from cmfm_protocol.wire.trigger import TriggerMessage, decode_trigger
from cmfm_sim.ports import free_ports

MS = 1_000_000
LIMIT_S = 60.0


def wait_until(is_true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + LIMIT_S
    while not is_true():
        assert time.monotonic() < until_s
        time.sleep(0.005)


# Pure rules


def test_a_level_counts_once_it_is_stable() -> None:
    """Bouncing contacts are one edge, timed by the first stable sample; a part there at the start is no edge."""
    debounce = Debounce(10 * MS)
    samples = [
        (0, 1),
        (20, 1),
        (40, 0),
        (60, 0),
        (61, 1),
        (63, 0),
        (66, 1),
        (70, 1),
        (76, 1),
        (90, 1),
        (95, 0),
        (97, 1),
    ]
    found = [debounce.take(bool(level), at * MS) for at, level in samples]
    assert [edge for edge in found if edge is not None] == [66 * MS]


@pytest.mark.parametrize("bits", [16, 32])
def test_a_counter_loses_nothing_and_rolls_over(bits: int) -> None:
    """Its first reading counts nothing, steps add up over the roll-over, and another count is not believed."""
    counter = Counter(bits, most=1000)
    readings = [2**bits - 3, 2**bits - 3, 2**bits - 1, 1, 5, 40_000, 40_002]
    assert [counter.take(reading) for reading in readings] == [0, 0, 2, 2, 4, 0, 2]
    assert counter.jumps == 1


def test_edges_are_numbered_as_the_camera_counts() -> None:
    """From the number that its first heartbeat says; a new stream begins anew, and a closed one takes no edges."""
    steps = Steps(2000 * MS)
    assert steps.edge(0) is None
    steps.heard("a", 7, False, 0)
    assert [steps.edge(100 * MS), steps.edge(200 * MS)] == [7, 8]
    assert steps.heard("a", 9, False, 300 * MS) is None
    steps.heard("b", 0, False, 400 * MS)
    assert steps.edge(500 * MS) == 0
    steps.heard("b", 1, True, 600 * MS)
    assert steps.edge(700 * MS) is None
    assert steps.counts.streams == 2


def test_a_trigger_that_the_camera_missed_is_found_out() -> None:
    """Under traffic: three edges, the camera counts two. After the latency both count alike again."""
    steps = Steps(1000 * MS)
    steps.heard("a", 0, False, 0)
    assert [steps.edge(at * MS) for at in (100, 200, 300)] == [0, 1, 2]
    assert steps.heard("a", 2, False, 900 * MS) is None  # the third may still come
    assert [steps.edge(at * MS) for at in (1250,)] == [3]
    differed = steps.heard("a", 2, False, 1350 * MS)
    assert differed is not None
    assert "not counted 1" in differed
    assert steps.edge(1400 * MS) == 3  # 1250's part is number 2 of the camera, this one 3
    assert steps.heard("a", 4, False, 1500 * MS) is None
    assert steps.counts.camera_missed == 1


def test_an_edge_that_was_missed_here_is_found_out() -> None:
    """The camera is ahead, and stays so: from then on numbers are its own. One that is only quicker changes nothing."""
    steps = Steps(1000 * MS)
    steps.heard("a", 0, False, 0)
    assert steps.heard("a", 1, False, 100 * MS) is None
    assert steps.edge(110 * MS) == 0  # polled after the camera's heartbeat
    assert steps.heard("a", 2, False, 500 * MS) is None
    assert steps.heard("a", 2, False, 1600 * MS) is not None
    assert steps.edge(1700 * MS) == 2
    assert steps.counts.eye_missed == 1


# Inputs


@pytest.fixture
def plc() -> Iterator[tuple[ModbusInputs, int]]:
    (port,) = free_ports(1)
    inputs = ModbusInputs(port)
    yield inputs, port
    inputs.off()


@contextlib.contextmanager
def running(
    settings: TriggerSettings, open_input: Callable[[], EdgeInput] | None = None
) -> Iterator[photo_eye_run.Program]:
    """The photo-eye's main loop, in a thread."""
    stopped, failed = threading.Event(), list[BaseException]()
    programs: list[photo_eye_run.Program] = []
    state = read_state(settings.announce.state)

    def run() -> None:
        try:
            opening = open_input or photo_eye_run.input_of(settings, state)
            with photo_eye_run.opened(settings, state, opening) as program:
                programs.append(program)
                while not stopped.is_set():
                    program.turn()
        except BaseException as error:  # noqa: BLE001 (the test raises it)
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: bool(programs or failed))
        yield programs[0]
    finally:
        stopped.set()
        thread.join(LIMIT_S)
    assert not thread.is_alive()
    assert failed == []


def wait_ready(program: photo_eye_run.Program, inputs: ModbusInputs | None = None) -> None:
    """Wait until input, camera and worker are there: every edge from then on is announced."""
    eye = program.eye
    wait_until(lambda: eye.counts.is_open and bool(eye.steps.stream_uuid) and program.announcer.is_heard)
    if inputs is not None:
        reads = inputs.reads
        wait_until(lambda: inputs.reads >= reads + 5)


def settings_of(tmp_path: Path, modbus: Mapping[str, object], **announce: object) -> TriggerSettings:
    return TriggerSettings.model_validate(
        {
            "modbus": modbus,
            "announce": {
                "camera": f"ipc://{tmp_path}/camera",
                "endpoint": f"ipc://{tmp_path}/eye",
                "part_prefix": "p",
                "part_digits": 4,
                "state": tmp_path / "state.json",
                "latency_ms": 60_000.0,
                **announce,
            },
        }
    )


class Beating:
    """A camera that rests in a thread, and counts parts as it is told."""

    def __init__(self, endpoint: str, keys: CameraKeys | None = None) -> None:
        self._camera = Camera(CameraOptions(endpoint, keys=keys))
        self.stream_uuid = self._camera.stream_uuid
        self._next = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def count(self, next_seq: int) -> None:
        self._next = next_seq

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(LIMIT_S)
        self._camera.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._camera.advance(self._next)
            self._camera.rest(0.02)


class Worker:
    """Hears trigger messages as a worker does."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, keys: ClientKeys | None = None
    ) -> None:
        self._socket = context.socket(zmq.SUB)
        if keys is not None:
            keys.apply_to(self._socket)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"cmfm/1/line1/station1/")
        self._socket.connect(endpoint)
        self.heard: list[TriggerMessage] = []

    def until(self, count: int) -> list[TriggerMessage]:
        until_s = time.monotonic() + LIMIT_S
        while len(self.heard) < count:
            assert time.monotonic() < until_s, self.heard
            if self._socket.poll(50):
                self.heard.append(decode_trigger(self._socket.recv_multipart()))
        return self.heard

    def has_message(self) -> bool:
        return bool(self._socket.poll(0))

    def close(self) -> None:
        self._socket.close(0)


@contextlib.contextmanager
def line(tmp_path: Path) -> Iterator[tuple[Beating, Worker]]:
    """A camera and a worker's ear."""
    with (
        zmq.Context() as context,
        closing(Worker(context, f"ipc://{tmp_path}/eye")) as worker,
        closing(Beating(f"ipc://{tmp_path}/camera")) as camera,
    ):
        yield camera, worker


def test_a_counter_announces_every_part_over_an_outage(plc: tuple[ModbusInputs, int], tmp_path: Path) -> None:
    """Rolling over, several at once, and while the PLC is away: each part once, with its number, in order."""
    inputs, port = plc
    value = 65_530

    def fire(count: int = 1) -> None:
        nonlocal value
        value = (value + count) % 65_536
        inputs.set("input_register", 4, value)

    fire()
    inputs.on()
    modbus = {"port": port, "table": "input_register", "address": 4, "poll_ms": 2.0}
    with line(tmp_path) as (camera, worker), running(settings_of(tmp_path, modbus)) as program:
        wait_ready(program, inputs)
        for number in range(6):
            fire()
            worker.until(number + 1)
        fire(3)
        worker.until(9)
        inputs.off()
        fire(4)  # while nobody can read
        inputs.on()
        heard = worker.until(13)
        fire()
        heard = worker.until(14)
    assert [trigger.seq for trigger in heard] == list(range(14))
    assert [trigger.part_id for trigger in heard] == [f"p{number:04d}" for number in range(1, 15)]
    assert {trigger.stream_uuid for trigger in heard} == {camera.stream_uuid}
    assert all(abs(trigger.trigger_ns - time.time_ns()) < 120e9 for trigger in heard)
    state = read_state(tmp_path / "state.json")
    assert (state.part, state.counter) == (14, value)


def test_a_level_announces_each_part(plc: tuple[ModbusInputs, int], tmp_path: Path) -> None:
    """Rising edges of an input that is low while a part is there, also one that came while the PLC was away."""
    inputs, port = plc
    inputs.set("discrete_input", 2, 1)
    inputs.on()

    def level(there: bool) -> None:
        inputs.set("discrete_input", 2, int(not there))
        reads = inputs.reads
        wait_until(lambda: inputs.reads >= reads + 10)

    def fire() -> None:
        level(True)
        level(False)

    modbus = {"port": port, "address": 2, "active_low": True, "poll_ms": 1.0, "debounce_ms": 1.0}
    with line(tmp_path) as (_, worker), running(settings_of(tmp_path, modbus)) as program:
        wait_ready(program, inputs)
        for _ in range(5):
            fire()
        heard = worker.until(5)
        inputs.off()
        inputs.set("discrete_input", 2, 0)
        inputs.on()
        heard = worker.until(6)
        level(False)
        fire()
        heard = worker.until(7)
    assert [trigger.seq - heard[0].seq for trigger in heard] == list(range(7))


@pytest.mark.parametrize("late_ns", [0, 10**18])
def test_parts_of_an_outage_are_late_if_it_is_long(plc: tuple[ModbusInputs, int], late_ns: int) -> None:
    """The counter says how many; the time since the last reading whether their frames are through."""
    inputs, port = plc
    inputs.set("holding_register", 0, 7)
    inputs.set("holding_register", 1, 0xFFFE)
    section = ModbusSection(port=port, table="holding_register", counter_bits=32, poll_ms=1.0)
    memory = Memory(section, late_ns, None)
    inputs.on()
    first = ModbusInput(section, memory)
    assert first.edges(0.05) == []
    inputs.off()
    with pytest.raises(InputLostError):
        first.edges(LIMIT_S)
    first.close()
    inputs.set("holding_register", 0, 8)
    inputs.set("holding_register", 1, 3)
    inputs.on()
    second = ModbusInput(section, memory)
    (edges,) = second.edges(LIMIT_S)
    second.close()
    assert (edges.count, edges.late, edges.counter) == (5, late_ns == 0, 0x80003)


class Heard:
    """An announcer that keeps what it is given."""

    is_heard = True

    def __init__(self) -> None:
        self.triggers: list[TriggerMessage] = []

    def announce(self, trigger: TriggerMessage) -> None:
        self.triggers.append(trigger)

    def turn(self, now_ns: int) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing is open."""


def test_late_parts_keep_their_numbers_and_are_not_announced(tmp_path: Path) -> None:
    """Their frames are through: the camera's count is followed, and part numbers go on behind them."""
    eye, announcer = PhotoEye(settings_of(tmp_path, {}).announce, PartState()), Heard()

    def beat(next_seq: int) -> None:
        eye.heard(CameraState("s", next_seq, False, 0))

    beat(3)
    eye.take(Edges(1, time.time_ns()), announcer)
    beat(4)
    eye.take(Edges(5, time.time_ns(), late=True, counter=9), announcer)
    beat(9)
    eye.take(Edges(1, time.time_ns(), counter=10), announcer)
    assert [(trigger.seq, trigger.part_id) for trigger in announcer.triggers] == [(3, "p0001"), (9, "p0007")]
    assert eye.counts.outcomes["late"] == 5
    assert read_state(tmp_path / "state.json") == PartState(7, 10)


def test_a_restart_gives_no_number_twice(plc: tuple[ModbusInputs, int], tmp_path: Path) -> None:
    """The counter went on while nobody ran: those parts are numbered, and the next one follows them."""
    inputs, port = plc
    write_state(tmp_path / "state.json", PartState(part=41, counter=65_534))
    inputs.set("input_register", 0, 3)  # five parts since
    inputs.on()
    modbus = {"port": port, "table": "input_register", "poll_ms": 2.0}
    with line(tmp_path) as (_, worker), running(settings_of(tmp_path, modbus)) as program:
        wait_until(lambda: read_state(tmp_path / "state.json").part == 46)
        wait_ready(program, inputs)
        inputs.set("input_register", 0, 4)
        (heard,) = worker.until(1)
    assert heard.part_id == "p0047"


def test_a_worker_is_asked_through_control(plc: tuple[ModbusInputs, int], tmp_path: Path) -> None:
    """Requests carry stream and number. One without a reply is sent again; a refused one is counted and not."""
    inputs, port = plc
    inputs.set("input_register", 0, 0)
    inputs.on()
    modbus = {"port": port, "table": "input_register", "poll_ms": 2.0}
    settings = settings_of(
        tmp_path, modbus, through="control", control=f"ipc://{tmp_path}/control", deadline_ms=60_000.0
    )
    asked: list[TriggerMessage] = []
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.setsockopt(zmq.LINGER, 0)
        router.bind(f"ipc://{tmp_path}/control")
        with closing(Beating(f"ipc://{tmp_path}/camera")) as camera, running(settings) as program:
            wait_ready(program, inputs)
            inputs.set("input_register", 0, 3)
            until_s = time.monotonic() + LIMIT_S
            while len(asked) < 4:
                assert time.monotonic() < until_s
                if not router.poll(50):
                    continue
                *route, body = router.recv_multipart()
                request = decode_request(body)
                assert isinstance(request, AnnounceRequest)
                asked.append(request.trigger)
                if len(asked) > 1:  # the first one gets no reply
                    error = "no such stream" if len(asked) == 3 else ""
                    router.send_multipart(
                        [*route, encode_reply(Reply(request.id, ok=not error, error=error))]
                    )
            wait_until(lambda: program.eye.counts.outcomes.total() == 3)
    assert program.eye.counts.outcomes == {"announced": 2, "refused": 1}
    assert asked[0] == asked[1]
    assert [trigger.seq - asked[0].seq for trigger in asked[1:]] == [0, 1, 2]
    assert {trigger.stream_uuid for trigger in asked} == {camera.stream_uuid}


def test_every_socket_speaks_curve_with_keys(plc: tuple[ModbusInputs, int], tmp_path: Path) -> None:
    """An encrypted camera is heard, and a worker whose key lies in the folder hears; one without a key does not."""
    inputs, port = plc
    inputs.set("input_register", 0, 0)
    inputs.on()
    pairs = {
        name: write_pair(tmp_path, name, KeyPair(*zmq.curve_keypair()))
        for name in ("eye", "camera", "worker")
    }
    for name, peer in (("of_eye", "worker"), ("of_camera", "eye")):
        (tmp_path / name).mkdir()
        shutil.copy(pairs[peer][1], tmp_path / name)
    settings = settings_of(
        tmp_path,
        {"port": port, "table": "input_register", "poll_ms": 2.0},
        key=pairs["eye"][0],
        camera_key=pairs["camera"][1],
        workers=tmp_path / "of_eye",
    )
    assert problems_of(settings) == []
    worker_keys = ClientKeys.read(pairs["worker"][0], pairs["eye"][1])
    camera_keys = CameraKeys.read(pairs["camera"][0], tmp_path / "of_camera")
    with (
        zmq.Context() as context,
        closing(Worker(context, f"ipc://{tmp_path}/eye")) as stranger,
        closing(Worker(context, f"ipc://{tmp_path}/eye", worker_keys)) as worker,
        closing(Beating(f"ipc://{tmp_path}/camera", camera_keys)) as camera,
        running(settings) as program,
    ):
        wait_ready(program, inputs)
        inputs.set("input_register", 0, 1)
        (heard,) = worker.until(1)
        assert heard.stream_uuid == camera.stream_uuid
        assert not stranger.has_message()


needs_gpiod = pytest.mark.skipif(importlib.util.find_spec("gpiod") is None, reason="needs the extra gpio")


@needs_gpiod
def test_a_gpio_line_announces_each_edge(tmp_path: Path) -> None:
    """With the kernel's time; edges that the kernel had no room for are counted by their numbers; the chip returns."""
    from tests.unit.made.gpio_line import FakeChips

    chips = FakeChips()
    settings = TriggerSettings.model_validate(
        {
            **settings_of(tmp_path, {}).model_dump(),
            "input": {"kind": "gpio"},
            "gpio": {"line": "EYE", "buffer": 16, "bias": "pull_up", "debounce_ms": 3.0},
        }
    )

    with (
        line(tmp_path) as (_, worker),
        running(settings, lambda: GpioInput(settings.gpio, chips)) as program,
    ):
        wait_ready(program)
        fired_ns = time.time_ns() - time.monotonic_ns() + chips.requests[0].pulse()
        heard = worker.until(1)
        assert abs(heard[0].trigger_ns - fired_ns) < 1e9
        with chips.requests[0].unread():  # nobody reads: the kernel keeps 16 of 40
            for _ in range(40):
                chips.requests[0].pulse()
        worker.until(17)
        chips.requests[0].pulse()
        heard = worker.until(42)
        chips.present = False
        wait_until(lambda: chips.requests[0].released)
        chips.present = True
        wait_until(lambda: len(chips.requests) == 2)
        chips.requests[1].pulse()
        heard = worker.until(43)
    assert [trigger.seq for trigger in heard] == list(range(43))
    asked = chips.asked["settings"]
    assert (chips.asked["path"], chips.asked["line"]) == ("/dev/gpiochip0", "EYE")
    assert asked.debounce_period.total_seconds() == 0.003
    assert asked.edge_detection.name == "RISING"
    assert asked.bias.name == "PULL_UP"


# The program


def test_parts_without_a_camera_are_counted(tmp_path: Path) -> None:
    """No stream is known: nothing can be announced, and the metric says why."""
    settings = settings_of(tmp_path, {})
    eye = PhotoEye(settings.announce, PartState())

    eye.take(Edges(2, time.time_ns()), Heard())
    assert eye.counts.outcomes == {"no_camera": 2}
    registry = CollectorRegistry()
    registry.register(EyeCollector(eye))
    assert registry.get_sample_value("cmfm_trigger_parts_total", {"outcome": "no_camera"}) == 2.0
    assert registry.get_sample_value("cmfm_trigger_input_open") == 0.0


def test_an_input_that_is_absent_is_tried_again() -> None:
    """And an error of ours ends the program instead of being tried for ever."""
    tries = 0

    def opened() -> Any:
        nonlocal tries
        tries += 1
        raise ValueError("ours")

    thread = InputThread(opened, reopen_max_s=0.1)
    thread.start()
    event = thread.next_event(LIMIT_S)
    thread.stop()
    assert tries == 1
    assert "ours" in str(getattr(event, "error", ""))


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[modbus]\ntabel = 1\n", ["modbus.tabel", "did you mean 'table'"]),
        ('[announce]\nendpoint = "tcp://0.0.0.0:5565"\n', ["announce", "insecure = true"]),
        ('[announce]\npart_prefix = "p"\n', ["announce", "needs state"]),
        ('[announce]\nworker_key = "worker.key"\n', ["announce", "need key"]),
        (
            '[modbus]\ntable = "input_register"\naddress = 65535\ncounter_bits = 32\n',
            ["modbus", "two registers"],
        ),
        ('[announce]\nkey = "absent.key_secret"\n', ["absent.key_secret"]),
    ],
)
def test_check_names_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: list[str]
) -> None:
    """File, key, and what to do."""
    path = tmp_path / "trigger.toml"
    path.write_text(text, encoding="utf-8")
    assert run("trigger", "check", "--config", path) == 2
    captured = capsys.readouterr()
    for word in words:
        assert word in captured.out + captured.err


def test_example_is_the_file_of_deploy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """And check explains it."""
    assert run("trigger", "example") == 0
    text = capsys.readouterr().out
    deploy = Path(__file__).resolve().parents[3] / "deploy" / "trigger.toml"
    assert deploy.read_text(encoding="utf-8") == text
    assert run("trigger", "check", "--config", deploy, "--json") == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []


def test_a_damaged_state_file_is_refused(tmp_path: Path) -> None:
    """Numbers that begin anew by accident would come twice."""
    path = tmp_path / "state.json"
    for text in ("", "[]", '{"part": -1, "counter": null}', '{"part": "7", "counter": null}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="restore it"):
            read_state(path)


def test_probes_say_what_is_missing(plc: tuple[ModbusInputs, int], tmp_path: Path) -> None:
    """Ready once input and camera are there."""
    inputs, port = plc
    (http,) = free_ports(1)
    settings = settings_of(tmp_path, {"port": port})
    settings = settings.model_copy(update={"metrics": settings.metrics.model_copy(update={"port": http})})

    def ready() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{http}/readyz", timeout=LIMIT_S) as reply:
                return str(reply.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()
        except OSError:
            return ""

    with running(settings) as program, contextlib.ExitStack() as stack:
        stack.callback(serve_metrics(settings.metrics, program.eye))
        wait_until(lambda: "input is not open" in ready())
        inputs.set("discrete_input", 0, 0)
        inputs.on()
        wait_until(lambda: "no heartbeat" in ready())
        stack.enter_context(closing(Beating(f"ipc://{tmp_path}/camera")))
        wait_until(lambda: ready().strip() == "ready")


def test_the_program_runs_until_it_is_told(tmp_path: Path) -> None:
    """`serve` opens everything, and closes everything."""
    turns = iter([False, False, True])
    photo_eye_run.serve(settings_of(tmp_path, {"port": free_ports(1)[0]}), lambda: next(turns))
