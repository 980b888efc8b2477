"""One worker a ledger: the second says who has it, and a dead worker has nothing."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.unit.made.service import line_settings

from cmfm_worker.errors import StartupError
from cmfm_worker.line.health.liveness import LineThreads
from cmfm_worker.line.records.builder import open_records
from cmfm_worker.settings.model import Settings
from cmfm_worker.settings.sections.records import LedgerSection

HOLDER = """
import sys, time
from pathlib import Path
from cmfm_worker.line.records.file_lock import lock
release = lock(Path(sys.argv[1]), "it")
print("held", flush=True)
time.sleep(60)
"""


def opened(settings: Settings) -> None:
    with ExitStack() as stack:
        open_records(settings, stack, LineThreads(), {})


@pytest.mark.parametrize("held", ["ledger.sqlite.lock", "kept/.lock"])
def test_ledger_and_archive_of_a_running_worker_are_refused(tmp_path: Path, held: str) -> None:
    """The message names the file and the pid; after kill -9 the next worker has it at once."""
    settings = line_settings(tmp_path)
    (tmp_path / "kept").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / held)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StartupError, match=rf"{held.split('.')[0].split('/')[0]}.* pid {other.pid} "):
            opened(settings)
        assert not (tmp_path / "ledger.sqlite").exists()
        other.send_signal(signal.SIGKILL)
        other.wait()
    opened(settings)
    opened(settings)


def test_another_name_of_the_same_ledger_is_the_same_ledger(tmp_path: Path) -> None:
    """A symbolic link does not lead around the lock."""
    settings = line_settings(tmp_path)
    opened(settings)
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "ledger.sqlite")
    linked = settings.model_copy(
        update={
            "ledger": LedgerSection(path=tmp_path / "link.sqlite"),
            "kept": settings.kept.model_copy(update={"folder": tmp_path / "other"}),
        }
    )
    with ExitStack() as stack:
        open_records(settings, stack, LineThreads(), {})
        with pytest.raises(StartupError, match=f"pid {os.getpid()} "):
            opened(linked)


def test_workers_with_ledgers_of_their_own_do_not_meet(tmp_path: Path) -> None:
    """Two lines on one machine."""
    with ExitStack() as stack:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            open_records(line_settings(tmp_path / name), stack, LineThreads(), {})
