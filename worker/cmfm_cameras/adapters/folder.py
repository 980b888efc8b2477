"""A watched folder as a camera, for sensors whose own software saves files (`cmfm_cameras.files`).

A part is read once its files have settled, and read again if one of them changed meanwhile. Files that cannot be used,
and a part whose other file does not come, use a number: the part is rejected. The part's id is the name of its files.
"""

import collections
import contextlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import structlog

from cmfm_cameras.capture import Capture, is_text
from cmfm_cameras.device import DeviceInfo
from cmfm_cameras.errors import DeviceError, InputError, Refusal, RefusedCaptureError
from cmfm_cameras.files.forms import FORMS, Pixels
from cmfm_cameras.files.watch import FolderWatch, Found
from cmfm_cameras.numbering import FrameIds
from cmfm_cameras.settings.folder import FolderSection
from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_settings.section import Section


def check(section: Section) -> None:
    """Raise InputError if the section names no folder, or nothing that can become one."""
    _path(cast("FolderSection", section))


def open_device(section: Section) -> "FolderDevice":
    """Watch the folder of the section. Raises DeviceError if it is not there, InputError if none is named."""
    return FolderDevice(cast("FolderSection", section))


def list_devices(section: Section) -> Sequence[DeviceInfo]:
    """Return the folder of the section, if it is there."""
    folder = cast("FolderSection", section).path
    if folder is None or not folder.is_dir():
        return []
    return [DeviceInfo("folder", str(folder), f"folder, form {cast('FolderSection', section).form}")]


class FolderDevice:
    """One watched folder. A folder that vanishes (a share) is waited for; nothing in it is forgotten."""

    def __init__(self, section: FolderSection) -> None:
        folder = _path(section)
        self.name = f"folder {folder}"
        self.frame_ids = FrameIds()
        self._section = section
        self._form = FORMS[section.form]
        self._watch = FolderWatch(
            folder, self._form.endings, settle_s=section.settle_s, missing_s=section.missing_s
        )
        self._ready: collections.deque[Found] = collections.deque()
        self._log = structlog.get_logger("folder")
        self._is_readable = True
        try:
            if section.existing == "skip":
                self._watch.skip_existing()
            self._ready.extend(self._watch.look(time.monotonic()))
        except OSError as error:
            raise DeviceError(f"folder {folder} cannot be read: {error.strerror}") from error

    def capture(self, timeout_s: float) -> Capture | None:
        """Return the next part, or None if none settles within `timeout_s`."""
        until_s = time.monotonic() + timeout_s
        while not self._ready:
            self._look()
            left_s = until_s - time.monotonic()
            if not self._ready and left_s <= 0:
                return None
            if not self._ready:
                time.sleep(min(self._section.poll_s, left_s))
        return self._read(self._ready.popleft())

    def close(self) -> None:
        """Do nothing: a folder holds nothing open."""

    def _look(self) -> None:
        try:
            self._ready.extend(self._watch.look(time.monotonic()))
        except OSError as error:
            if self._is_readable:
                self._log.error("folder_unreadable", folder=str(self._section.path), error=str(error))
            self._is_readable = False
            return
        if not self._is_readable:
            self._log.info("folder_readable", folder=str(self._section.path))
        self._is_readable = True

    def _read(self, found: Found) -> Capture | None:
        if found.missing:
            missing = ", ".join(path.name for path in found.missing)
            self._finish(found)
            raise RefusedCaptureError(
                Refusal.INCOMPLETE,
                f"{found.name}: {missing} did not come within {self._section.missing_s:g} s",
                part_id=found.name if is_text(found.name) else "",
            )
        pixels = self._read_unchanged(found)
        if pixels is None:
            return None
        self._finish(found)
        rgb, xyz = pixels
        return Capture(rgb, xyz, frame_id=None, trigger_ns=None, part_id=found.name)

    def _read_unchanged(self, found: Found) -> Pixels | None:
        """The files' content, or None if they changed while they were read: they are looked at anew."""
        failure: DatasetError | None = None
        pixels: Pixels | None = None
        try:
            pixels = self._form.read(self._section, found.paths)
        except DatasetError as error:
            failure = error
        if not self._is_unchanged(found):
            self._watch.again(found)
            return None
        if failure is not None:
            self._finish(found)
            part_id = found.name if is_text(found.name) else ""
            raise RefusedCaptureError(Refusal.INCOMPLETE, str(failure), part_id=part_id) from failure
        return pixels

    def _is_unchanged(self, found: Found) -> bool:
        try:
            return self._watch.is_unchanged(found)
        except OSError:
            return False

    def _finish(self, found: Found) -> None:
        """Delete or move the files, as the settings say. A failure is logged: the part itself was read."""
        for path in (path for path in found.paths if path not in found.missing):
            try:
                if self._section.after == "delete":
                    path.unlink(missing_ok=True)
                elif self._section.after == "move" and self._section.done is not None:
                    self._section.done.mkdir(parents=True, exist_ok=True)
                    with contextlib.suppress(FileNotFoundError):
                        shutil.move(path, self._section.done / path.name)
            except OSError as error:
                self._log.error("file_not_finished", file=str(path), error=str(error))


def _path(section: FolderSection) -> Path:
    if section.path is None:
        raise InputError('kind = "folder" needs path under [folder]')
    if section.path.exists() and not section.path.is_dir():
        raise InputError(f"folder.path: {section.path} is not a folder")
    return section.path
