"""The subscribers in deploy/, templates of a PLC gateway: only a PASS lets a part through."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zmq
from tests.made_results import PASS

from cmfm_protocol.files.key_files import KeyPair, write_pair
from cmfm_protocol.wire.result import encode_result
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.verdict import Reason, Verdict

pytestmark = pytest.mark.system

FOLDER = Path(__file__).parents[2] / "deploy" / "subscribers"
GOOD = zmq.curve_keypair()[0].decode()
RESULT = topic("line1", "station1", "result")
FAULT = replace(
    PASS,
    result_id=2,
    verdict=Verdict.FAULT,
    reason=Reason.DEADLINE,
    deadline_met=False,
    score=None,
    part_id="§verdict PASS",
)


@pytest.fixture
def results(tmp_path: Path) -> Iterator[tuple[zmq.Socket[bytes], str]]:
    """A publisher of results that is told of subscriptions."""
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.RCVTIMEO, 20_000)
    endpoint = f"ipc://{tmp_path}/results"
    socket.bind(endpoint)
    yield socket, endpoint
    socket.close(0)
    context.term()


@pytest.fixture
def encrypted(results: tuple[zmq.Socket[bytes], str]) -> tuple[zmq.Socket[bytes], str, KeyPair]:
    """The same publisher over TCP and CURVE, with its key pair."""
    socket, endpoint = results
    socket.unbind(endpoint)
    server = KeyPair(*zmq.curve_keypair())
    socket.curve_server, socket.curve_secretkey = True, server.secret
    return socket, f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}", server


def said(
    command: list[str], socket: zmq.Socket[bytes], lines: int, environment: dict[str, str] | None = None
) -> list[str]:
    """Lines that a subscriber prints about a PASS and a FAULT."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert socket.recv().startswith(b"\x01")
            time.sleep(0.1)
            for result in (PASS, FAULT):
                socket.send_multipart(encode_result(RESULT, result))
            assert process.stdout is not None
            return [process.stdout.readline().strip() for _ in range(lines)]
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["plc_gateway.py", "plc_gateway.c"])
def test_subscribers_stay_small(name: str) -> None:
    """At most 25 lines: the author of a gateway reads them in a minute."""
    assert len((FOLDER / name).read_text().splitlines()) <= 25


def test_python_gateway_rejects_all_but_pass(results: tuple[zmq.Socket[bytes], str]) -> None:
    """A PASS is let through, a FAULT rejected."""
    socket, endpoint = results
    lines = said([sys.executable, str(FOLDER / "plc_gateway.py"), endpoint], socket, 2)
    assert lines == ["0 part0 PASS below_threshold", "0 §verdict PASS REJECT deadline"]


def test_python_gateway_notices_silence(results: tuple[zmq.Socket[bytes], str]) -> None:
    """Without a worker the line is stopped, not let through."""
    socket, endpoint = results
    assert said([sys.executable, str(FOLDER / "plc_gateway.py"), endpoint], socket, 3)[2].startswith(
        "NO WORKER"
    )


def test_python_gateway_speaks_curve(
    encrypted: tuple[zmq.Socket[bytes], str, KeyPair], tmp_path: Path
) -> None:
    """With the worker's public key and its own pair it receives from a worker that encrypts."""
    socket, endpoint, server = encrypted
    _, theirs = write_pair(tmp_path, "worker", server)
    own, _ = write_pair(tmp_path, "plc", KeyPair(*zmq.curve_keypair()))
    keys = [str(theirs), str(own)]
    program = [sys.executable, str(FOLDER / "plc_gateway.py"), endpoint, "cmfm/1/line1/station1/"]
    assert said([*program, *keys], socket, 2) == [
        "0 part0 PASS below_threshold",
        "0 §verdict PASS REJECT deadline",
    ]


@pytest.fixture
def c_gateway(tmp_path: Path) -> str:
    """The C gateway, compiled."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/usr/include/zmq.h").exists():
        assert os.environ.get("CMFM_FOREIGN_CLIENTS") != "required", "a C compiler or zmq.h is not installed"
        pytest.skip("needs a C compiler and libzmq's header (libzmq3-dev)")
    program = tmp_path / "gateway"
    subprocess.run(
        [compiler, "-Wall", "-Werror", "-O2", "-o", program, FOLDER / "plc_gateway.c", "-lzmq"], check=True
    )
    return str(program)


def test_c_gateway_rejects_all_but_pass(results: tuple[zmq.Socket[bytes], str], c_gateway: str) -> None:
    """The C gateway compiles and decides the same, also for a part whose name imitates a verdict."""
    socket, endpoint = results
    assert said([c_gateway, endpoint], socket, 2) == ["PASS", "REJECT"]


def test_c_gateway_speaks_curve(encrypted: tuple[zmq.Socket[bytes], str, KeyPair], c_gateway: str) -> None:
    """With the worker's public key, and its own secret one in the environment."""
    socket, endpoint, server = encrypted
    command = [c_gateway, endpoint, "cmfm/1/line1/station1/result/", server.public.decode()]
    secret = zmq.curve_keypair()[1].decode()
    assert said(command, socket, 2, {**os.environ, "CMFM_SECRET_KEY": secret}) == ["PASS", "REJECT"]


def test_c_gateway_without_usable_keys_ends(c_gateway: str) -> None:
    """It never falls back to an unencrypted connection."""
    for key, environment in (
        ("short", {"CMFM_SECRET_KEY": GOOD}),
        (GOOD, {}),
        (GOOD, {"CMFM_SECRET_KEY": "y"}),
    ):
        command = [c_gateway, "tcp://127.0.0.1:1", "cmfm/", key]
        ended = subprocess.run(command, env=environment, check=False, capture_output=True, timeout=20)
        assert ended.returncode == 2
