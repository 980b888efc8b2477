"""How many threads a computation on a CPU has, and how they wait for one another.

torch spreads every operation over OpenMP threads and waits for all of them; a part of `classic` has a thousand. By
default a thread of libgomp that waits keeps its processor for milliseconds. Where another program wants one
of the processors, each operation then waits for a thread that cannot run because another one, running, waits for it:
a part takes ten times as long. So threads wait a little and then sleep, and a line leaves one processor to all else.
"""

import os
import sys
from collections.abc import MutableMapping
from typing import Final

SPINS: Final = 10_000
"""Rounds of waiting before a thread sleeps, some 100 µs: the next operation of a part comes sooner, most often."""


def wait_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Threads of this process and its children sleep after a short wait, unless the environment says how they wait.

    To be called before torch is imported, which reads it then; afterwards it does nothing.
    """
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", str(SPINS))


def computing_threads(asked: int) -> int:
    """Threads of a computation on a line: as asked, or for 0 as many as torch would take but one, and at least one."""
    import torch

    return asked or max(1, torch.get_num_threads() - 1)
