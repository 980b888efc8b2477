"""The variants that the paper compares, by name. A variant is one way to teach a mapping, and the maps to measure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from cmfm_worker.cfm.extractor import Preset
from cmfm_worker.cfm.variants import Aggregation, Architecture, Modality

Blocks = Literal[12, 8, 4, 1]

AGGREGATIONS: Final[tuple[Aggregation, ...]] = ("2d", "3d", "sum", "max", "product")
"""The aggregations in the order of Table 6."""

A_FIFTH: Final = 0.2
"""Share of epochs of the ablations: 50 of the paper's 250 (Tables 7, 8, 10)."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to teach. `blocks` of both backbones are used (paper § 3.4); `image` names the 2D extractor.

    `epochs_share` is a share of the full number of epochs, `shots` the number of training parts (None: all).
    `aggregations` are the maps to measure; all come from one fit.
    """

    name: str
    blocks: Blocks = 12
    image: str = "dino"
    architecture: Architecture = "mlp"
    modality: Modality = "cross"
    epochs_share: float = 1.0
    shots: int | None = None
    aggregations: tuple[Aggregation, ...] = ("product",)

    def suits(self, preset: Preset) -> bool:
        """Return True if the preset has the variant: `classic` has neither blocks to cut nor another 2D extractor."""
        return preset == "paper" or (self.blocks == 12 and self.image == "dino")

    def epochs(self, preset: Preset, full: int) -> int:
        """Return the epochs of its fit if a full fit has `full`; always `full` for `classic`, which has few anyway."""
        return full if preset == "classic" else max(1, round(self.epochs_share * full))


def _fifth(name: str, **options: object) -> Variant:
    return Variant(name, epochs_share=A_FIFTH, **options)  # type: ignore[arg-type]  # checked by the dataclass' users


VARIANTS: Final[Mapping[str, Variant]] = {
    variant.name: variant
    for variant in (
        Variant("ours", aggregations=AGGREGATIONS),
        Variant("ours-m", blocks=8),
        Variant("ours-s", blocks=4),
        Variant("ours-t", blocks=1),
        Variant("ours-5-shot", shots=5),
        Variant("ours-10-shot", shots=10),
        Variant("ours-50-shot", shots=50),
        _fifth("cross-50-epochs", aggregations=("2d", "3d", "product")),
        _fifth("intra-50-epochs", modality="intra", aggregations=("2d", "3d", "product")),
        _fifth("mlp-encoder-decoder-50-epochs", architecture="mlp_encoder_decoder"),
        _fifth("conv-encoder-decoder-50-epochs", architecture="conv_encoder_decoder"),
        _fifth("sam-50-epochs", image="sam"),
        _fifth("clip-50-epochs", image="clip"),
        _fifth("dinov2-50-epochs", image="dinov2"),
    )
}


def by_name(names: Iterable[str]) -> list[Variant]:
    """Return variants in the order of `VARIANTS`. Raises KeyError naming an unknown one."""
    wanted = set(names)
    if unknown := sorted(wanted - VARIANTS.keys()):
        raise KeyError(unknown[0])
    return [variant for name, variant in VARIANTS.items() if name in wanted]
