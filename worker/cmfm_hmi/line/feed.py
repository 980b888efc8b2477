"""The feed: a thread that takes a worker's results, states and maps into the `LiveLine`."""

import contextlib
import threading
import time
from typing import Final

import structlog

from cmfm_client import (
    ClientKeys,
    Damaged,
    Event,
    LinkChanged,
    Lost,
    NewBoot,
    NoReplyError,
    Received,
    ReceivedIds,
    RefusedError,
    RequestClient,
    ResultSubscriber,
    Silence,
    SubscriberOptions,
)
from cmfm_hmi.line.live_line import RESULTS_KEPT, LiveLine
from cmfm_hmi.settings.worker import WorkerSection
from cmfm_protocol.wire.anomaly_map import AnomalyMaps
from cmfm_protocol.wire.control import ResultsPage
from cmfm_protocol.wire.state import WorkerState
from cmfm_protocol.wire.topics import topic

POLL_S: Final = 0.2
"""Longest wait for an event: within it the thread sees that it is to end."""

ASK_S: Final = 0.25
ASK_TIMES: Final = 4
"""Tries to learn from the worker at the start how many results there were, each of `ASK_S`."""


class LineFeed:
    """Reads the worker until `close`. An error that ends it becomes the `failure` of the live line.

    It begins with the newest `RESULTS_KEPT` results that the worker still holds. Raises EndpointError, KeyFileError.
    """

    def __init__(self, section: WorkerSection, live: LiveLine) -> None:
        self._section, self._live = section, live
        self._keys = read_keys(section)
        self._stopping = threading.Event()
        self.damaged = 0
        self._log = structlog.get_logger("feed")
        self._subscriber = ResultSubscriber(self._options(None))
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, then close the subscriber."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._subscriber.close()

    def _run(self) -> None:
        try:
            self._begin_before_now()
            while not self._stopping.is_set():
                if events := self._subscriber.poll(POLL_S):
                    self._take(events)
        except BaseException as error:  # noqa: BLE001 (the board raises it)
            self._log.exception("feed_failed")
            self._live.failure = error

    def _begin_before_now(self) -> None:
        """Listen from `RESULTS_KEPT` results ago on, if there is a worker that can be asked."""
        page = self._newest_page()
        if page is None:
            return  # a worker that starts later begins with its first result
        self._subscriber.close()
        first = ReceivedIds(newest=max(page.newest_id - RESULTS_KEPT, page.oldest_id - 1, 0))
        self._subscriber = ResultSubscriber(self._options(first, page.boot_id))

    def _newest_page(self) -> ResultsPage | None:
        with RequestClient(self._section.recovery, keys=self._keys) as client:
            for _ in range(ASK_TIMES):
                if self._stopping.is_set():
                    return None
                with contextlib.suppress(NoReplyError, RefusedError):
                    return client.results_since("", 0, limit=1, timeout_s=ASK_S)
        return None

    def _options(self, received: ReceivedIds | None, boot_id: str = "") -> SubscriberOptions:
        section = self._section
        return SubscriberOptions(
            results=section.results,
            maps=section.maps,
            recovery=section.recovery,
            topics=topic(section.line, section.station, "result").removesuffix(b"result/"),
            from_start=True,
            keys=self._keys,
            received={boot_id: received} if received is not None else None,
            silence_s=section.silence_s,
        )

    def _take(self, events: list[Event]) -> None:
        results = [event.result for event in events if isinstance(event, Received)]
        if results:
            self._live.add_results(results)
        for event in events:
            self._take_other(event)

    def _take_other(self, event: Event) -> None:
        live, log = self._live, self._log
        match event:
            case WorkerState():
                live.change(state=event, heard_s=time.monotonic(), alive=True, trouble="")
            case AnomalyMaps():
                live.keep_maps(event)
            case Silence():
                log.warning("worker_silent", seconds=round(event.seconds, 1))
                live.change(alive=False, trouble=self._subscriber.trouble)
            case Lost():
                log.error("results_lost", **event.missing._asdict(), cause=str(event.cause))
                live.change(lost=live.snapshot().lost + len(event.missing))
            case NewBoot():
                log.warning("worker_restarted", boot_id=event.boot_id, former=event.former_boot_id)
            case LinkChanged():
                log.info("worker_link", alive=event.alive)
            case Damaged():
                self.damaged += 1
                log.warning("damaged_message", detail=event.detail)


def read_keys(section: WorkerSection) -> ClientKeys | None:
    """Return the page's CURVE keys, None without encryption. Raises KeyFileError naming the file."""
    return ClientKeys.read_if_given(section.key, section.worker_key)
