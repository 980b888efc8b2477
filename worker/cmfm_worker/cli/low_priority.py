"""Lets a command compute beside a running line: at low priority, with the processors that the line leaves."""

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cmfm_worker.settings.model import Settings

NICENESS: Final = 15
"""A thread of the line that is ready to run gets 28 times the time of one of ours, and runs at once."""


def step_back() -> None:
    """Lower this process's priority for processors and disk; where the system refuses that, nothing happens."""
    if os.getpriority(os.PRIO_PROCESS, 0) < NICENESS:
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    ionice = shutil.which("ionice")
    if ionice is not None:
        subprocess.run([ionice, "-c", "idle", "-p", str(os.getpid())], check=False, capture_output=True)


def spare_threads(settings: "Settings") -> int:
    """Return the threads that may compute beside the line: the processors that it leaves, at least one."""
    from cmfm_worker.line.compute.device import choose_device
    from cmfm_worker.line.health.threads import computing_threads

    processors = len(os.sched_getaffinity(0))
    of_line = (
        1 if choose_device(settings.device.name).type != "cpu" else computing_threads(settings.device.threads)
    )
    return max(1, processors - of_line)
