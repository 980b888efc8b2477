"""File descriptors: a line that could not take its clients does not say that it is ready."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from cmfm_worker.errors import StartupError
from cmfm_worker.line.health.descriptors import Limits, limit_for, needed
from cmfm_worker.settings.model import Settings

START = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
from cmfm_worker.line.health.descriptors import require_descriptors
from cmfm_worker.settings.model import Settings
require_descriptors(Settings())
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""

WORKER = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
from cmfm_worker.app import main
main()
"""


def start(soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START, str(soft), str(hard)], capture_output=True, text=True, check=False
    )


def test_soft_limit_is_raised() -> None:
    """A supervisor that allows enough needs no setting."""
    ended = start(128, 4096)
    assert ended.returncode == 0, ended.stderr
    assert 300 < int(ended.stdout.split()[-1]) < 1024


def test_hard_limit_that_is_too_low_stops_the_start() -> None:
    """The message has both numbers and where to change them."""
    ended = start(128, 128)
    assert "128 are allowed" in ended.stderr
    assert "LimitNOFILE" in ended.stderr


def test_need_grows_with_cameras_clients_and_http() -> None:
    """Each takes descriptors."""
    plain = needed(Settings(), 10)
    assert needed(Settings(sockets={"clients": 1000}), 10) == plain + 1000 - 256
    assert needed(Settings(cameras={f"c{n}": f"tcp://a:{n}" for n in range(1, 21)}), 10) > plain + 19 * 8
    assert needed(Settings(metrics={"port": 9000}), 10) > plain
    assert needed(Settings(), 500) == plain + 490


def test_unlimited_is_enough() -> None:
    """RLIM_INFINITY is negative, and not a small number."""
    assert limit_for(1000, Limits(resource.RLIM_INFINITY, resource.RLIM_INFINITY)) is None
    assert limit_for(1000, Limits(128, resource.RLIM_INFINITY)) == 1000
    with pytest.raises(StartupError):
        limit_for(1000, Limits(128, 999))


def test_worker_with_too_few_descriptors_ends_with_3(tmp_path: Path) -> None:
    """`ulimit -n 128` and 120 subscribers: said at the start, not found out at night."""
    (tmp_path / "line.toml").write_text("")
    command = [sys.executable, "-c", WORKER, "--config", f"{tmp_path}/line.toml"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 3, ended.stderr
    assert "file descriptors" in ended.stderr
