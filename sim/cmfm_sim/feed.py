"""Reads parts from the disk ahead of their triggers, in a thread and in bounded memory."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.files.dataset import read_part
from cmfm_sim.conveyor import Trigger

CACHE_BYTES: Final = 512 * 1024 * 1024
"""Pictures kept for the next pass: 200 parts of 400 x 400 pixels. More parts are read anew each pass."""

READ_AHEAD: Final = 16
"""Parts read before their trigger if not all of them fit into the cache: 150 MB at 800 x 800 pixels."""

Pictures = tuple[NDArray[np.uint8], NDArray[np.float32]]


@dataclass(frozen=True, eq=False, slots=True)
class ReadPart:
    """A trigger with its pictures: rgb (H, W, 3) uint8 sRGB, xyz (H, W, 3) float32 metres."""

    trigger: Trigger
    rgb: NDArray[np.uint8]
    xyz: NDArray[np.float32]


class Feed:
    """Reads the triggers' parts in order, in the thread "feed". `distinct` is the number of different parts.

    If all fit into `cache_bytes`, all are read before `preroll` returns: a torn file is found before the first
    trigger, and the disk delays none.
    """

    def __init__(
        self,
        triggers: Iterable[Trigger],
        *,
        distinct: int,
        cache_bytes: int = CACHE_BYTES,
        read: Callable[[Trigger], Pictures] = lambda trigger: read_part(trigger.files),
    ) -> None:
        self._triggers = iter(triggers)
        self._distinct = distinct
        self._cache_bytes = cache_bytes
        self._read = read
        self._cache: dict[Path, Pictures] = {}
        self._cached_bytes = 0
        self._ahead = READ_AHEAD
        self._ready: deque[ReadPart] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._closing = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def __enter__(self) -> "Feed":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def preroll(
        self, progress: Callable[[int, int], None] | None = None, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until as much is read ahead as fits, or `stopped`. `progress` gets (read, all).

        Raises DatasetError.
        """
        while not stopped():
            with self._changed:
                self._changed.wait_for(self._is_full, timeout=0.1)
                done, wanted, full = len(self._ready), self._ahead, self._is_full()
            if progress is not None:
                progress(done, done if full else max(wanted, done))
            if full:
                self._raise_failure()
                return

    def take(self) -> ReadPart | None:
        """The next part, None if it has not been read yet. Raises DatasetError when it is the turn of a bad part."""
        with self._changed:
            if self._ready:
                part = self._ready.popleft()
                self._changed.notify_all()
                return part
        self._raise_failure()
        return None

    @property
    def finished(self) -> bool:
        """True if every part has been taken."""
        with self._changed:
            return self._ended and not self._ready and self._failure is None

    def close(self) -> None:
        """Stop reading."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _is_full(self) -> bool:
        return self._ended or len(self._ready) >= self._ahead

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            for part in self._parts():
                with self._changed:
                    self._changed.wait_for(lambda: self._closing or len(self._ready) < self._ahead)
                    if self._closing:
                        return
                    self._ready.append(part)
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 (raised again in the thread that takes the parts)
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _parts(self) -> Iterator[ReadPart]:
        for trigger in self._triggers:
            yield ReadPart(trigger, *self._pictures(trigger))

    def _pictures(self, trigger: Trigger) -> Pictures:
        key = trigger.files.rgb
        if key in self._cache:
            return self._cache[key]
        pictures = self._read(trigger)
        nbytes = sum(picture.nbytes for picture in pictures)
        if not self._cache and nbytes * self._distinct <= self._cache_bytes:
            self._ahead = max(self._distinct, READ_AHEAD)
        if self._cached_bytes + nbytes <= self._cache_bytes:
            self._cache[key] = pictures
            self._cached_bytes += nbytes
        return pictures
