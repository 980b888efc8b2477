"""Which worker runs: by the lock of its files and by its reply, encrypted or not, and never by touching the lock."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq
from tests.unit.made.examined import settings
from tests.unit.made.publishing_line import PublishingLine

from cmfm_protocol.files.key_files import KeyPair, write_pair
from cmfm_worker.doctor.processes import Process, lock_holder, process_of
from cmfm_worker.doctor.visit import find_worker, lock_files
from cmfm_worker.errors import StartupError
from cmfm_worker.line.records.file_lock import lock
from cmfm_worker.settings.model import Settings


@pytest.fixture
def line(tmp_path: Path) -> Settings:
    """Settings of a line of which nothing runs."""
    return settings(tmp_path)


def held(line: Settings) -> Callable[[], None]:
    """Hold the ledger's lock in this process, as a worker does; returns what releases it."""
    return lock(lock_files(line)[0], "ledger")


def test_no_worker(line: Settings) -> None:
    """Neither a lock file that was left behind nor an endpoint that nobody serves makes one."""
    held(line)()
    assert lock_files(line)[0].is_file()
    assert find_worker(line, None) is None


def test_worker_that_replies(line: Settings) -> None:
    """Its state is known, also without a lock that is seen: it may run on another disk."""
    with PublishingLine() as worker:
        asked = line.model_copy(
            update={"sockets": line.sockets.model_copy(update={"control": worker.control})}
        )
        found = find_worker(asked, None)
    assert found is not None
    assert found.state is not None
    assert (found.state.phase, found.pid, found.silent) == ("ready", None, False)


def test_worker_that_hangs(line: Settings) -> None:
    """It holds its lock and does not reply; the lock stays its own."""
    release = held(line)
    try:
        found = find_worker(line, None)
        assert found is not None
        assert found.silent
        assert "did not reply" in found.why_no_state
        with pytest.raises(StartupError, match="in use by pid"):
            held(line)
    finally:
        release()


def test_worker_of_another_host(line: Settings) -> None:
    """Ledger and lock are on a shared disk, or seen from another container: no process here is taken for it."""
    path = lock_files(line)[0]
    path.write_text(f"pid 1 on not-{socket.gethostname()}")
    holder = lock_holder(path)
    assert holder is not None
    assert holder.pid is None


@pytest.mark.parametrize("text", ["", "pid 999999999 on {host}", "nonsense"])
def test_lock_that_nobody_holds(line: Settings, text: str) -> None:
    """A worker that was killed leaves its name in the file."""
    path = lock_files(line)[0]
    path.write_text(text.format(host=socket.gethostname()))
    assert lock_holder(path) is None


def test_line_that_encrypts_needs_a_key(tmp_path: Path) -> None:
    """Without one a running worker is not asked, and the reason says what to give."""
    for name in ("worker", "support"):
        write_pair(tmp_path, name, KeyPair(*zmq.curve_keypair()))
    line = settings(tmp_path, curve={"secret_key": tmp_path / "worker.key_secret"})
    release = held(line)
    try:
        without = find_worker(line, None)
        assert without is not None
        assert not without.silent
        assert "--key" in without.why_no_state
        public = find_worker(line, tmp_path / "support.key")
        assert public is not None
        assert "support.key" in public.why_no_state
    finally:
        release()


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (
            ("/opt/cmfm/venv/bin/python3", "/opt/cmfm/venv/bin/cmfm-worker", "--config", "l.toml"),
            "cmfm-worker",
        ),
        (("python", "-m", "cmfm_gateway.app", "--config", "g.toml"), "cmfm-gateway"),
        (("python", "-c", "from cmfm_hmi.app import main; main()"), "cmfm-hmi"),
        (("/opt/cmfm-worker/venv/bin/python", "serve.py"), "python"),
    ],
)
def test_programs_by_their_command(command: tuple[str, ...], program: str) -> None:
    """However a program of ours was started, and none that only lies in such a folder."""
    assert Process(1, 0, "python", command).program == program


def test_process_that_has_ended() -> None:
    """There is nothing to read of it."""
    assert process_of(999_999_999) is None
