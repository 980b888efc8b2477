"""The worker as a container runs it: a read-only system, no home, no capabilities, one folder that can be written."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Line

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

MakeLine = Callable[[str], Line]

READ_ONLY = """
set -e
state=$1; shift
mount --make-rprivate /
mount --bind "$state" "$state"
for point in $(awk '{print $2}' /proc/self/mounts | sort -u); do
    case $point in
        "$state" | /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) ;;
        *) mount -o bind,remount,ro "$point" ;;
    esac
done
if touch "$state.outside" 2>/dev/null; then echo "not read-only"; exit 99; fi
cd /
exec setpriv --no-new-privs --bounding-set=-all env -i PATH="$PATH" OMP_NUM_THREADS=1 "$@"
"""


def can_unshare() -> bool:
    """Whether this user may make mounts of its own (root in most containers)."""
    tools = all(shutil.which(tool) for tool in ("unshare", "setpriv", "awk"))
    probe = ["unshare", "--mount", "mount", "--make-rprivate", "/"]
    return (
        tools
        and os.geteuid() == 0
        and subprocess.run(probe, check=False, capture_output=True).returncode == 0
    )


def test_worker_writes_its_state_folder_alone(
    make_line: MakeLine, synthetic_root: Path, tmp_path: Path
) -> None:
    """It starts, inspects, keeps what it rejects, records and drains, without a home and without a temporary folder."""
    if not can_unshare():
        pytest.skip("needs root and unshare(1), to mount the system read-only for one process")
    line = make_line("tcp")
    state = tmp_path / "state"
    state.mkdir()
    line.program = ["unshare", "--mount", "bash", "-c", READ_ONLY, "bash", str(state), *line.program]
    worker = line.start(ledger={"path": str(state / "ledger.sqlite")}, kept={"folder": str(state / "kept")})
    camera = line.replay(synthetic_root, "--rate", "8", "--deadline-ms", "10000")
    line.wait_for(lambda: camera.returncode is not None, worker, 120)
    camera.require_success()
    expected = {trigger.key for trigger in line.triggers()}
    line.wait_for(lambda: expected <= {item.key for item in line.received}, worker, 60)
    line.finish(worker)
    assert (state / "ledger.sqlite").stat().st_size > 0
    assert any((state / "kept").glob("*/result.json"))
