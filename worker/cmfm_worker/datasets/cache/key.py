"""The key of a cache: everything that determines the bits of prepared frames besides the parts' own files.

Frames prepared from the same files under the same key are identical. The key holds the background options, a digest of
the source text that reads and prepares, torch's version and the kind of device.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Self

import torch

from cmfm_protocol.files import dataset, depth_picture, picture_files, png_meaning, yaml_files
from cmfm_protocol.wire import points
from cmfm_worker.cfm import background as background_module
from cmfm_worker.cfm import clusters, prepare
from cmfm_worker.cfm.prepare import BackgroundOptions

_MODULES: Final[tuple[ModuleType, ...]] = (
    dataset,
    picture_files,
    png_meaning,
    points,
    yaml_files,
    depth_picture,
    prepare,
    background_module,
    clusters,
)
"""Modules whose source text is part of the key: a change of any of them makes another key automatically."""


@dataclass(frozen=True, slots=True)
class CacheKey:
    """How frames were prepared: `background` options, `code` sha256 of the source text, `device` "cpu" or "cuda"."""

    background: BackgroundOptions
    code: str
    torch_version: str
    device: str

    @classmethod
    def here(cls, background: BackgroundOptions, device: torch.device) -> Self:
        """Return the key of this program on this machine."""
        return cls(background, _code(), torch.__version__, device.type)

    @classmethod
    def of_map(cls, table: Mapping[str, Any]) -> Self:
        """Read the table that `as_map` returns. Raises ValueError, TypeError or KeyError for anything else."""
        options = dict(table["background"])
        if options.get("plane") is not None:
            a, b, c, d = (float(value) for value in options["plane"])
            options["plane"] = (a, b, c, d)
        texts = {key: str(table[key]) for key in ("code", "torch_version", "device")}
        return cls(BackgroundOptions(**options), **texts)

    def as_map(self) -> dict[str, Any]:
        """Return the key as a table for JSON."""
        return asdict(self)

    @property
    def sha256(self) -> str:
        """Digest of the key, stored in each part's file."""
        return hashlib.sha256(json.dumps(self.as_map(), sort_keys=True).encode()).hexdigest()

    def differences(self, asked: "CacheKey") -> list[str]:
        """Describe the differences from the key that is asked for: background options first, each by name."""
        had, wanted = asdict(self.background), asdict(asked.background)
        found = [
            f"background {name} is {_shown(had[name])}, but {_shown(wanted[name])} is asked for"
            for name in had
            if had[name] != wanted[name]
        ]
        if self.device != asked.device:
            found.append(f"it was prepared on {self.device}, but {asked.device} is asked for")
        if self.torch_version != asked.torch_version:
            found.append(
                f"it was prepared with torch {self.torch_version}, but this is {asked.torch_version}"
            )
        if self.code != asked.code:
            found.append("it was prepared by another version of this program")
        return found


@cache
def _code() -> str:
    digest = hashlib.sha256()
    for module in _MODULES:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def _shown(value: object) -> str:
    return "none" if value is None else str(value)
