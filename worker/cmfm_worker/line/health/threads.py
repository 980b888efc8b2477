"""Sets how many threads a computation on a CPU has, and how they wait for one another.

torch spreads every operation over OpenMP threads and waits for all of them; a part of `classic` has a thousand
operations. By default a waiting thread of libgomp keeps its processor for milliseconds. If another program uses one of
the processors, each operation then waits for a thread that cannot run because a waiting one keeps its processor, and a
part takes ten times as long. Therefore threads spin briefly and then sleep, and a line uses all processors but one.
"""

import os
import sys
from collections.abc import MutableMapping
from typing import Final

SPINS: Final = 10_000
"""Spins of a waiting thread before it sleeps, some 100 µs: a part's next operation mostly comes sooner."""


def wait_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let OpenMP threads of this process and its children sleep after a short wait, unless the environment decides.

    Call it before torch is imported, which reads the environment; afterwards it does nothing.
    """
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", str(SPINS))


def computing_threads(asked: int) -> int:
    """Return the threads of a computation on a line: `asked`, or for 0 one fewer than torch's own, at least one."""
    import torch

    return asked or max(1, torch.get_num_threads() - 1)
