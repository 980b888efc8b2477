"""How frames were prepared: everything that decides their bits besides the parts' own files.

Two frames prepared in the same way from the same files are the same. What is not the same way is told apart by
the background options, the source text of the code that reads and prepares, torch, and the kind of device.
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

from cmfm_protocol.files import depth_picture, picture_files, yaml_files
from cmfm_worker.cfm import background as background_module
from cmfm_worker.cfm import clusters, prepare
from cmfm_worker.cfm.prepare import BackgroundOptions

_MODULES: Final[tuple[ModuleType, ...]] = (
    picture_files,
    yaml_files,
    depth_picture,
    prepare,
    background_module,
    clusters,
)
"""A change of any of them makes another preparation: nobody has to remember to raise a number."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """`background` as options, `code` a sha256 of the source text, `device` "cpu" or "cuda"."""

    background: BackgroundOptions
    code: str
    torch_version: str
    device: str

    @classmethod
    def here(cls, background: BackgroundOptions, device: torch.device) -> Self:
        """That of this program on this machine."""
        return cls(background, _code(), torch.__version__, device.type)

    @classmethod
    def of_map(cls, table: Mapping[str, Any]) -> Self:
        """From what `as_map` gave. Raises ValueError, TypeError or KeyError for anything else."""
        options = dict(table["background"])
        if options.get("plane") is not None:
            a, b, c, d = (float(value) for value in options["plane"])
            options["plane"] = (a, b, c, d)
        texts = {key: str(table[key]) for key in ("code", "torch_version", "device")}
        return cls(BackgroundOptions(**options), **texts)

    def as_map(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @property
    def sha256(self) -> str:
        """Names the preparation in the files of the parts."""
        return hashlib.sha256(json.dumps(self.as_map(), sort_keys=True).encode()).hexdigest()

    def differences(self, asked: "Preparation") -> list[str]:
        """In words, where this one is not the one asked for: background options first, each by its name."""
        had, wanted = asdict(self.background), asdict(asked.background)
        found = [
            f"background {key} is {_shown(had[key])}, asked for is {_shown(wanted[key])}"
            for key in had
            if had[key] != wanted[key]
        ]
        if self.device != asked.device:
            found.append(f"it was prepared on {self.device}, asked for is {asked.device}")
        if self.torch_version != asked.torch_version:
            found.append(f"it was prepared with torch {self.torch_version}, this is {asked.torch_version}")
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
