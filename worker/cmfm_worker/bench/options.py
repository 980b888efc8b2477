"""The options of the benchmark, and the variants of the method that they stand for. Imports torch late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from cmfm_worker.cfm.image.models import DINO, short_name, timm_name
from cmfm_worker.cfm.variants import Architecture, Modality

if TYPE_CHECKING:
    from cmfm_worker.cfm.extractor import Preset
    from cmfm_worker.cfm.fast.precision import Precision

Background = Literal["ransac", "fixed", "none"]

BLOCKS = (12, 8, 4, 1)
GROUP_SIZES = (128, 32)
_HIGHEST_RATE_HZ = 1e5


class BenchError(Exception):
    """The options ask for something that this machine cannot run; the message says why."""


@dataclass(frozen=True)
class Variant:
    """One configuration of the method on one device. `image` is timm's name; `classic` uses only `device`."""

    extractor: Preset
    blocks: int
    group_size: int
    precision: Precision
    device: str
    mapping: Architecture = "mlp"
    modality: Modality = "cross"
    image: str = DINO

    @property
    def is_papers_mapping(self) -> bool:
        """True if the mapping networks are those of the main paper."""
        return (self.mapping, self.modality) == ("mlp", "cross")

    def __str__(self) -> str:
        image = "" if self.image == DINO else f" {short_name(self.image)}"
        size = f" L{self.blocks} G{self.group_size}" if self.extractor == "paper" else ""
        other = "" if self.is_papers_mapping else f" {self.mapping} {self.modality}"
        return f"{self.extractor}{image}{size} {self.precision} {self.device}{other}"


@dataclass(frozen=True)
class BenchOptions:
    """All options of the command (`help.py` explains them). Options that are tuples are combined with one another."""

    extractors: tuple[Preset, ...] = ("lite",)
    blocks: tuple[int, ...] = (12,)
    group_sizes: tuple[int, ...] = (128,)
    precisions: tuple[Precision, ...] = ("fp32",)
    batches: tuple[int, ...] = (1,)
    devices: tuple[str, ...] = ("auto",)
    mappings: tuple[Architecture, ...] = ("mlp",)
    modalities: tuple[Modality, ...] = ("cross",)
    weights: Path | None = None
    seeded: bool = False
    frames: tuple[Path, ...] = ()
    rgb: Path | None = None
    xyz: Path | None = None
    side_px: int = 400
    background: Background = "ransac"
    seconds: float = 5.0
    threads: int | None = None
    twin: bool = False
    end_to_end: bool = False
    rate_hz: float = 2.0
    wire: bool = False
    plain_launches: bool = False
    image_extractor: tuple[str, ...] = ("dino",)

    def variants(self) -> list[Variant]:
        """Return every combination of the options, each once. Raises BenchError for options that do not fit."""
        self._check()
        devices = [_device(name) for name in self.devices]
        combined = product(
            self.extractors,
            self.blocks,
            self.group_sizes,
            self.precisions,
            devices,
            self.mappings,
            self.modalities,
            [timm_name(name) for name in self.image_extractor],
        )
        return list(dict.fromkeys(_without_idle_options(Variant(*options)) for options in combined))

    def _check(self) -> None:
        from cmfm_worker.cfm.extractor import Preset
        from cmfm_worker.cfm.fast.precision import Precision

        _check_each("extractors", self.extractors, get_args(Preset))
        self._check_images()
        _check_each("blocks", self.blocks, BLOCKS)
        _check_each("group-sizes", self.group_sizes, GROUP_SIZES)
        _check_each("precisions", self.precisions, get_args(Precision))
        _check_each("mappings", self.mappings, get_args(Architecture))
        _check_each("modalities", self.modalities, get_args(Modality))
        _check_each("background", (self.background,), get_args(Background))
        if any(batch < 1 for batch in self.batches) or self.side_px < 32 or self.seconds < 0:
            raise BenchError("batches start at 1, frames at 32 pixels, and seconds cannot be negative")
        if not 0 < self.rate_hz <= _HIGHEST_RATE_HZ or ((self.end_to_end or self.wire) and not self.seconds):
            raise BenchError("a line needs a rate above 0 and some seconds")
        if "paper" in self.extractors and not self.seeded and self.weights is None:
            raise BenchError("extractor 'paper' needs --weights DIR with the published files, or --seeded")
        if (self.rgb is None) != (self.xyz is None):
            raise BenchError("--rgb and --xyz belong together")

    def _check_images(self) -> None:
        try:
            for name in self.image_extractor:
                timm_name(name)
        except ValueError as error:
            raise BenchError(f"--image-extractor: {error}") from error
        if not self.image_extractor:
            raise BenchError("--image-extractor: expected at least one, found nothing")


def _check_each(name: str, given: Sequence[object], allowed: Sequence[object]) -> None:
    unknown = [value for value in given if value not in allowed]
    if unknown or not given:
        shown = ", ".join(map(str, unknown)) or "nothing"
        raise BenchError(f"--{name}: expected some of {', '.join(map(str, allowed))}, found {shown}")


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BenchError(f"--devices: {name!r} is not auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BenchError(f"--devices: torch {torch.__version__} sees no CUDA device here")
    return name


def _without_idle_options(variant: Variant) -> Variant:
    """Set the options that `lite` and `classic` do not use to one value, so that its combinations become one."""
    if variant.extractor != "paper":
        return replace(variant, blocks=0, group_size=0, precision="fp32", image=DINO)
    return variant
