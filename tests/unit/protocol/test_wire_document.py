"""WIRE.md and the code agree: tables of fields, limits, reasons, and the programs that integrators paste."""

import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import msgpack
import numpy as np
import pytest
import zmq

from cmfm_protocol import (
    OPC_40001_101,
    VERDICT_OF,
    ArraySpec,
    CameraState,
    CollectState,
    FrameHeader,
    Reason,
    Region,
    RemoteProtocolError,
    Reply,
    Result,
    ResultsPage,
    SourceState,
    TriggerMessage,
    Verdict,
    WorkerState,
    decode_frame,
    encode_result,
    topic,
)
from cmfm_protocol.files.key_files import KeyPair, write_pair
from cmfm_protocol.wire import anomaly_map, arrays, control, frame, limits
from cmfm_protocol.wire.encoding import VERSION
from cmfm_protocol.wire.fields import Field, Meaning, field_of, fields_of
from cmfm_protocol.wire.wire_types import one_of

DOCUMENT = (Path(__file__).parents[3] / "protocol" / "WIRE.md").read_text(encoding="utf-8")
TIMEOUT_MS = 10_000


def tables(heading: str) -> list[list[list[str]]]:
    """The tables under a heading, each a list of rows of cells, without its head."""
    match = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert match is not None, heading
    blocks = re.findall(r"(?:^\|.*\n)+", match.group(1), re.MULTILINE)
    return [[split(line) for line in block.splitlines()[2:]] for block in blocks]


def split(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line)[1:-1]
    return [cell.strip().replace("\\|", "|").replace("`", "") for cell in cells]


def row_of(field: Field, *, only: str = "") -> list[str]:
    """The row of WIRE.md that a declaration requires, without the marks of code."""
    notes = [] if field.required else ["optional", *since(field), f"default {shown(field.default)}"]
    kind = f"{field.wire_type.name} ({', '.join(notes)})" if notes else field.wire_type.name
    meaning = f"{only} only: {field.meaning}" if only else field.meaning
    return [cell.replace("`", "") for cell in (field.name, kind, field.unit, meaning)]


def since(field: Field) -> list[str]:
    return [f"since 1.{field.since}"] if field.since else []


def shown(default: object) -> str:
    if default is None:
        return "nil"
    return str(default).lower() if isinstance(default, bool) else str(default) or "empty"


def request_rows() -> list[list[str]]:
    """The requests in one table: what all have, then what each operation adds."""
    operation = row_of(OPERATION)
    rows = [row_of(VERSION), row_of(fields_of(control.StatusRequest)[0]), operation]
    for name, kind in control.REQUESTS.items():
        rows += [row_of(field, only=name) for field in fields_of(kind) if field.name not in ("id", "op")]
    return rows


OPERATION = field_of(
    "op", Annotated[str, one_of(list(control.REQUESTS)), Meaning(fields_of(control.StatusRequest)[1].meaning)]
)
MESSAGE, INSIDE = (VERSION,), ()
"""Fields that a map has before those of its class: a message the version, a map inside a message none."""

DECLARED: list[tuple[str, list[list[str]]]] = [
    (heading, [row_of(field) for field in (*before, *fields_of(kind), *after)])
    for heading, kind, before, after in [
        ("Frame header", FrameHeader, MESSAGE, (frame.SEALED,)),
        ("Array description", ArraySpec, INSIDE, ()),
        ("Trigger fields", TriggerMessage, MESSAGE, ()),
        ("Result fields", Result, MESSAGE, ()),
        ("Regions", Region, INSIDE, ()),
        ("Map header", anomaly_map.MapHeader, MESSAGE, ()),
        ("Camera state", CameraState, MESSAGE, ()),
        ("Worker state", WorkerState, MESSAGE, ()),
        ("Source", SourceState, INSIDE, ()),
        ("Collecting", CollectState, INSIDE, ()),
        ("Reply", Reply, MESSAGE, ()),
        ("Page", ResultsPage, INSIDE, ()),
    ]
]


@pytest.mark.parametrize(
    ("heading", "declared"),
    [*DECLARED, ("Request", request_rows())],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_tables_of_fields_are_the_declarations(heading: str, declared: list[list[str]]) -> None:
    """Field, type, limits, default, unit and meaning are those of the code, in the order in which they are sent."""
    assert tables(heading)[0] == declared


@pytest.mark.parametrize(
    ("heading", "table", "rules"),
    [("Array description", 1, frame.ARRAY_RULES), ("Map header", 1, anomaly_map.ARRAY_RULES)],
)
def test_arrays_are_documented(heading: str, table: int, rules: tuple[arrays.ArrayRule, ...]) -> None:
    """Name, element type, shape, unit and mark of invalid elements are those that are enforced."""
    sides = {None: iter("HW" * len(rules))}
    for row, rule in zip(tables(heading)[table], rules, strict=True):
        shape = ", ".join(next(sides[None]) if side is None else str(side) for side in rule.shape)
        assert row[:5] == [rule.name, " or ".join(rule.dtypes), f"[{shape}]", rule.unit, rule.invalid]


def test_limits_are_those_of_the_code() -> None:
    """The document lists every limit of the code, with its value, and no other."""
    documented = {row[0]: int(row[1]) for row in tables("Limits")[0]}
    enforced = {
        name: value for name, value in vars(limits).items() if name.isupper() and not name.startswith("NAME_")
    }
    assert documented == enforced


def test_verdicts_and_reasons_are_those_of_the_code() -> None:
    """Every verdict, its OPC name, every reason and the verdict it belongs to."""
    verdicts = {row[0]: row[3] for row in tables("Verdicts")[0]}
    assert verdicts == {str(verdict): name for verdict, name in OPC_40001_101.items()}
    reasons = {row[0]: row[1] for row in tables("Reasons")[0]}
    assert reasons == {str(reason): str(verdict) for reason, verdict in VERDICT_OF.items()}


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(#([^)]+)\)", DOCUMENT))))
def test_links_lead_somewhere(link: str) -> None:
    """No link inside the document is dead."""
    headings = re.findall(r"^#+ (.+)$", DOCUMENT, re.MULTILINE)
    assert link in {heading.lower().replace(" ", "-") for heading in headings}


def program(mark: str) -> str:
    found = [
        code for code in re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL) if f"# {mark}\n" in code
    ]
    assert len(found) == 1
    return str(found[0])


@pytest.fixture
def endpoint() -> Iterator[str]:
    """An ipc endpoint short enough for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="cmfm") as folder:
        yield f"ipc://{folder}/s"


@pytest.fixture
def resources() -> Iterator[ExitStack]:
    """A stack that closes its contents at the end of a test, last first."""
    with ExitStack() as stack:
        yield stack


def close(socket: "zmq.Socket[bytes]") -> None:
    """Close what a pasted program leaves to the end of its process."""
    socket.close(linger=0)
    socket.context.term()


def test_pasted_curve_lines_fit_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket with the camera's lines is heard by one with the client's lines, and by none without."""
    pairs = {name: KeyPair(*zmq.curve_keypair()) for name in ("camera1", "plc1")}
    for name, pair in pairs.items():
        write_pair(tmp_path, name, pair)
    (tmp_path / "worker.key").write_bytes((tmp_path / "camera1.key").read_bytes())
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        server = stack.enter_context(context.socket(zmq.PUB))
        run(program("curve camera"), {"socket": server})
        port = server.bind_to_random_port("tcp://127.0.0.1")
        heard, plain = (stack.enter_context(context.socket(zmq.SUB)) for _ in range(2))
        run(program("curve client"), {"socket": heard})
        for socket in (heard, plain):
            socket.subscribe(b"")
            socket.connect(f"tcp://127.0.0.1:{port}")
        until_s = time.monotonic() + TIMEOUT_MS / 1000
        while not heard.poll(50) and time.monotonic() < until_s:
            server.send(b"hello")
        assert heard.recv() == b"hello"
        assert not plain.poll(0)


def run(code: str, names: dict[str, Any]) -> None:
    exec(compile(code, "WIRE.md", "exec"), names)  # noqa: S102 (our own document is what is tested)


def test_pasted_camera_is_understood(endpoint: str, resources: ExitStack) -> None:
    """The camera of at most 20 lines sends frames that decode to what was photographed, numbered from 0."""
    code = program("publisher")
    assert len(code.splitlines()) <= 20
    assert "cmfm_protocol" not in code
    worker = resources.enter_context(resources.enter_context(zmq.Context()).socket(zmq.SUB))
    worker.set(zmq.RCVTIMEO, TIMEOUT_MS)
    worker.subscribe(topic("line1", "station1", "frame"))
    worker.connect(endpoint)
    names: dict[str, Any] = {}
    run(code.replace("tcp://127.0.0.1:5555", endpoint), names)
    resources.callback(close, names["socket"])
    rgb = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    xyz = np.linspace(0, 1, 4 * 5 * 3, dtype=np.float32).reshape(4, 5, 3)
    for seq in range(2):
        names["publish"](f"p{seq}", "bagel", 1_000 + seq, rgb, xyz[:, ::-1])
        arrived = decode_frame(worker.recv_multipart())
        header = arrived.header
        assert (header.seq, header.part_id, header.recipe) == (seq, f"p{seq}", "bagel")
        assert (header.trigger_ns, header.clock, header.deadline_ms) == (1_000 + seq, "realtime", 200.0)
        np.testing.assert_array_equal(arrived.rgb, rgb)
        np.testing.assert_array_equal(arrived.xyz, xyz[:, ::-1])
    names["publish"]("p2", "bagel", 0, rgb, xyz.astype(np.float64))
    with pytest.raises(RemoteProtocolError) as caught:
        decode_frame(worker.recv_multipart())
    assert (caught.value.reason, caught.value.part_id) == (Reason.ARRAY_MISMATCH, "p2")


def test_pasted_subscriber_lets_through_what_passed_alone(
    endpoint: str,
    resources: ExitStack,
    passed: Result,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The subscriber prints a decision for each result, skips heartbeats, and raises on silence."""
    fault = {"verdict": Verdict.FAULT, "reason": Reason.LOST, "part_id": "p8"}
    sent = [msgpack.unpackb(encode_result(topic("line1", "station1", "result"), passed)[1])]
    sent.append(sent[0] | fault)
    code = program("subscriber").replace("tcp://127.0.0.1:5556", endpoint).replace("2000)", "500)")
    names: dict[str, Any] = {}
    ended: list[BaseException] = []

    def subscriber() -> None:
        try:
            run(code, names)
        except zmq.Again as silence:
            ended.append(silence)

    publisher = resources.enter_context(resources.enter_context(zmq.Context()).socket(zmq.XPUB))
    publisher.set(zmq.RCVTIMEO, TIMEOUT_MS)
    publisher.bind(endpoint)
    thread = threading.Thread(target=subscriber)
    thread.start()
    try:
        publisher.recv()
        publisher.send_multipart([topic("line1", "station1", "state"), msgpack.packb({"v": 1})])
        for data in sent:
            publisher.send_multipart([topic("line1", "station1", "result"), msgpack.packb(data)])
    finally:
        thread.join()
        close(names["socket"])
    assert capsys.readouterr().out.splitlines() == ["p7 let through below_threshold", "p8 reject lost"]
    assert len(ended) == 1
