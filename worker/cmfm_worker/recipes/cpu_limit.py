"""A limit of the processor time that reading a stranger's file may take."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cmfm_worker.errors import InputError


@contextmanager
def cpu_limit(seconds: float, what: str) -> Iterator[None]:
    """Raise InputError in the body once it has used so much processor time. Works in the main thread, else no limit.

    A text can be made so that parsing it takes time that grows with the square of its length.
    """

    def too_long(_number: int, _frame: FrameType | None) -> None:
        raise InputError(
            f"{what}: reading it takes more than {seconds:g} s of processor time; nothing changed"
        )

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
