"""The producers that this process has loaded: GenTL initialises a producer once a process, whoever uses it."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genicam import genapi, gentl
from harvesters.core import Harvester

from cmfm_cameras.errors import DeviceError, InputError


@dataclass(slots=True)
class _Shared:
    harvester: Harvester
    users: int = 0


_loaded: Final[dict[tuple[Path, ...], _Shared]] = {}
"""By the files. One thread, the device's, uses it."""


@contextlib.contextmanager
def loaded(files: Sequence[Path]) -> Iterator[Harvester]:
    """The harvester of these producers: of one set of files all devices of this process share one.

    Raises InputError for a file that cannot be loaded, or that another set in use has too, DeviceError.
    """
    key = tuple(files)
    if key not in _loaded:
        _require_unused(key)
        _loaded[key] = _Shared(_opened(key))
    shared = _loaded[key]
    shared.users += 1
    try:
        yield shared.harvester
    finally:
        shared.users -= 1
        if not shared.users:
            del _loaded[key]
            shared.harvester.reset()


def _require_unused(key: tuple[Path, ...]) -> None:
    """A producer that was initialised by one harvester gives another one no devices."""
    for other in _loaded:
        if both := set(other) & set(key):
            raise InputError(
                f"genicam.producers: {min(both)} is in use with other producers beside it; name the same producers in "
                "the settings of both devices"
            )


def _opened(files: tuple[Path, ...]) -> Harvester:
    harvester = Harvester()
    try:
        for path in files:
            _add(harvester, path)
        try:
            harvester.update()
        except (gentl.GenericException, genapi.GenericException) as error:
            raise DeviceError(
                f"the producers find no devices: {' '.join(str(error).split())[:300]}"
            ) from error
    except BaseException:
        harvester.reset()
        raise
    return harvester


def _add(harvester: Harvester, path: Path) -> None:
    try:
        harvester.add_file(str(path), check_existence=True, check_validity=True)
    except OSError as error:
        raise InputError(f"genicam.producers: {path} cannot be loaded ({error})") from error
