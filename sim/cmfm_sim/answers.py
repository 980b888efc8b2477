"""The verdicts on a replay's own triggers, heard in a thread of their own while the camera sends."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from cmfm_sim.accounting import Account, account
from cmfm_sim.errors import FailedError
from cmfm_sim.record import Key, Received, TriggerLog, TriggerRecord
from cmfm_sim.subscriber import ResultSubscriber, SubscriberOptions

POLL_S: Final = 0.05
LAST_VERDICT_S: Final = 3.0
"""Past the last deadline, how long a verdict is still waited for."""


class TriggerMemory(TriggerLog):
    """A log of triggers that also remembers them."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path)
        self.records: dict[Key, TriggerRecord] = {}

    def trigger(self, record: TriggerRecord) -> None:
        """A trigger fired."""
        self.records[record.key] = record
        super().trigger(record)

    def not_sent(self, stream_uuid: str, seq: int) -> None:
        """Its frame was dropped by the camera."""
        key = (stream_uuid, seq)
        self.records[key] = replace(self.records[key], sent=False)
        super().not_sent(stream_uuid, seq)


class Answers:
    """Listens from when the context is entered. Raises InputError for an endpoint that is none."""

    def __init__(self, options: SubscriberOptions) -> None:
        self._options = options
        self._subscriber = ResultSubscriber(options)
        self._received: list[Received] = []
        self._heard = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="answers", daemon=True)

    def __enter__(self) -> "Answers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
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
        """The account of all triggers, once each has its verdict or none can be expected any more."""
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
            events = self._subscriber.poll(POLL_S)
            self._received += [event for event in events if isinstance(event, Received)]
            if events:
                self._heard.set()
