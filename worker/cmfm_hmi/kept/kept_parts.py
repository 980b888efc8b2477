"""The list of archived parts, read by a thread of its own when somebody looks at it."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Final

import structlog

from cmfm_hmi.errors import PageError
from cmfm_records.archive_index import ArchiveIndex
from cmfm_records.archived_part import NAME
from cmfm_settings.errors import InputError

STEP_PARTS: Final = 200
"""Parts that are read at once: about 50 ms, after which questions have their turn."""

TICK_S: Final = 0.02


class KeptParts:
    """The index of the archive in `folder`, and the folders of its parts. `file` holds the index between starts.

    An index that cannot be written is kept in memory, with a line in the log.
    """

    def __init__(self, folder: Path, file: Path | None) -> None:
        self._log = structlog.get_logger("kept")
        self.index = self._open(folder, file)
        self._problem = ""
        self._unread = 0
        self._wanted = threading.Event()
        self._closing = False
        self._finished = 0  # rounds of reading that ended
        self._thread = threading.Thread(target=self._run, name="kept-index", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str:
        """Why the folder could not be read the last time; empty if it could."""
        return self._problem

    @property
    def unread(self) -> int:
        """Parts that are not in the list yet; they are older than those that are."""
        return self._unread

    async def refresh(self, limit_s: float) -> None:
        """Have new parts read; return once all are in the list, or after `limit_s`."""
        seen, until_s = self._finished, time.monotonic() + limit_s
        self._wanted.set()
        while self._finished == seen and time.monotonic() < until_s:
            await asyncio.sleep(TICK_S)

    def folder(self, name: str) -> Path:
        """Return the folder of a part. Raises PageError (404) if the name is not one, or the part is gone."""
        if NAME.fullmatch(name) is None:
            raise PageError("no_part", 404)
        folder = self.index.folder / name
        if not folder.is_dir():
            raise PageError("part_gone", 404)
        return folder

    def close(self) -> None:
        """End the thread and close the index."""
        self._closing = True
        self._wanted.set()
        self._thread.join()
        self.index.close()

    def _open(self, folder: Path, file: Path | None) -> ArchiveIndex:
        try:
            return ArchiveIndex(folder, file)
        except InputError as error:
            self._log.warning("index_not_kept", error=str(error))
            return ArchiveIndex(folder)

    def _run(self) -> None:
        while self._wanted.wait() and not self._closing:
            self._wanted.clear()
            try:
                while (left := self.index.refresh(STEP_PARTS)) and not self._closing:
                    self._unread = left
                self._unread, self._problem = left, ""
            except InputError as error:
                if str(error) != self._problem:
                    self._log.warning("kept_unreadable", error=str(error))
                self._problem = str(error)
            self._finished += 1
