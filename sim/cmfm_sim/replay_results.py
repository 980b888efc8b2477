"""Results on a replay's own triggers, received in a thread of their own while the camera sends."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from cmfm_client.events import LinkChanged, Received, Silence
from cmfm_client.subscriber import ResultSubscriber, SubscriberOptions
from cmfm_sim.accounting import Account, account
from cmfm_sim.errors import FailedError
from cmfm_sim.trigger_log import TriggerMemory

POLL_S: Final = 0.05
LAST_VERDICT_S: Final = 3.0
"""Time past the last deadline for which a verdict is still waited for."""


class ReplayResults:
    """Receives while the context is open, in the thread "results". Raises EndpointError."""

    def __init__(self, options: SubscriberOptions) -> None:
        self._options = options
        self._subscriber = ResultSubscriber(options)
        self._received: list[Received] = []
        self._heard = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="results", daemon=True)

    def __enter__(self) -> "ReplayResults":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._subscriber.close()

    def wait_for_worker(self, timeout_s: float, stopped: Callable[[], bool]) -> None:
        """Wait until the worker is heard, so that no verdict is missed. Raises FailedError after `timeout_s`."""
        until_s = time.monotonic() + timeout_s
        while not self._heard.wait(POLL_S) and not stopped():
            if time.monotonic() >= until_s:
                raise FailedError(
                    f"no worker was heard on {self._options.results} within {timeout_s:g} s; give its [sockets] results"
                )

    def account(self, triggers: TriggerMemory, stopped: Callable[[], bool]) -> Account:
        """The account of all triggers, once each has its verdict or its time is over."""
        fired = list(triggers.records.values())
        last_ns = max((record.trigger_ns + int(record.deadline_ms * 1e6) for record in fired), default=0)
        until_s = time.monotonic() + max((last_ns - time.time_ns()) / 1e9, 0.0) + LAST_VERDICT_S
        keys = {record.key for record in fired}
        while not stopped() and time.monotonic() < until_s and not keys <= {r.key for r in self._received}:
            time.sleep(POLL_S)
        ours = {stream for stream, _ in keys}
        return account(fired, [item for item in list(self._received) if item.result.stream_uuid in ours])

    def _listen(self) -> None:
        while not self._stop.is_set():
            for event in self._subscriber.poll(POLL_S):
                if isinstance(event, Received):
                    self._received.append(event)
                if not isinstance(event, Silence | LinkChanged):
                    self._heard.set()
