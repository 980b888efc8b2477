"""The feed: a thread that takes a worker's events, stores results durably and tells the loop that something changed."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from cmfm_client import (
    ClientKeys,
    Damaged,
    Event,
    LinkChanged,
    Lost,
    NewBoot,
    Received,
    ResultSubscriber,
    SubscriberOptions,
)
from cmfm_gateway.line_view import LineFacts, LineWatch
from cmfm_gateway.settings.worker import WorkerSection
from cmfm_gateway.store import ResultStore
from cmfm_protocol.wire.state import WorkerState
from cmfm_protocol.wire.topics import topic

POLL_S: Final = 0.2
"""Longest wait for an event: within it the thread sees that it is to end."""

RETRY_S: Final = 0.5
"""Pause before results are stored again after the disk refused them."""


class Feed:
    """Reads the worker until `close`. `facts` is what it knows of the line, `failure` the error that ended it.

    `changed` is called in the feed's thread after each change. Raises EndpointError, KeyFileError.
    """

    def __init__(self, section: WorkerSection, store: ResultStore, changed: Callable[[], None]) -> None:
        self._store, self._changed = store, changed
        self._watch = LineWatch(store.received)
        self.facts: LineFacts = self._watch.facts
        self.failure: BaseException | None = None
        self.damaged = 0
        self._stopping = threading.Event()
        self._log = structlog.get_logger("feed")
        self._subscriber = ResultSubscriber(subscriber_options(section, store))
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
            while not self._stopping.is_set():
                if events := self._subscriber.poll(POLL_S):
                    self._take(events)
        except BaseException as error:
            self.failure = error
            self._changed()
            raise

    def _take(self, events: list[Event]) -> None:
        while not self._stored(events):
            if self._stopping.wait(RETRY_S):
                return
        now_s = time.monotonic()
        for event in events:
            self._tell(event)
            self.facts = self._watch.take(event, now_s)
        self._changed()
        with contextlib.suppress(sqlite3.Error):  # the next result that cannot be stored tells
            self._store.tidy()

    def _stored(self, events: list[Event]) -> bool:
        """Store what must survive a kill. False if the disk refused it: the line is not valid until it does not."""
        try:
            self._store.append_all([event for event in events if isinstance(event, Received)])
            for event in events:
                if isinstance(event, Lost):
                    self._store.give_up(event)
                elif isinstance(event, WorkerState):
                    self._store.enter_boot(event.boot_id, event.published)
        except sqlite3.Error as error:
            self._log.error("store_failed", error=str(error))
            self.facts = self._watch.store_failed(True)
            self._changed()
            return False
        self.facts = self._watch.store_failed(False)
        return True

    def _tell(self, event: Event) -> None:
        match event:
            case Lost():
                self._log.error("results_lost", **event.missing._asdict(), cause=str(event.cause))
            case NewBoot():
                self._log.warning("worker_restarted", boot_id=event.boot_id, former=event.former_boot_id)
            case LinkChanged():
                self._log.info("worker_link", alive=event.alive)
            case Damaged():
                self.damaged += 1
                self._log.warning("damaged_message", detail=event.detail)


def subscriber_options(section: WorkerSection, store: ResultStore) -> SubscriberOptions:
    """Return the options of a subscriber that goes on where the store ends. Raises KeyFileError."""
    return SubscriberOptions(
        results=section.results,
        recovery=section.recovery,
        topics=topic(section.line, section.station, "result").removesuffix(b"result/"),
        keys=read_keys(section),
        received=store.received or None,
        silence_s=section.silence_s,
    )


def read_keys(section: WorkerSection) -> ClientKeys | None:
    """Return the gateway's CURVE keys, None without encryption. Raises KeyFileError naming the file."""
    return ClientKeys.read_if_given(section.key, section.worker_key)
