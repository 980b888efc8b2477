"""The families of made-up products."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cmfm_sim.datasets import second, synthetic


class MadePart(Protocol):
    """A rendered part: `rgb` (H, W, 3) uint8, `xyz` (H, W, 3) float32 metres, `gt` (H, W) bool."""

    @property
    def rgb(self) -> NDArray[np.uint8]: ...  # noqa: D102 (said above)

    @property
    def xyz(self) -> NDArray[np.float32]: ...  # noqa: D102 (said above)

    @property
    def gt(self) -> NDArray[np.bool_]: ...  # noqa: D102 (said above)


class Render(Protocol):
    """Renders one part; the same arguments give the same part."""

    def __call__(  # noqa: D102 (said above)
        self, category: str, /, *, seed: int, split: str, defect: str, index: int, size_px: int
    ) -> MadePart: ...


@dataclass(frozen=True, slots=True)
class Family:
    """Categories that are made in one way, and their kinds of defect."""

    categories: tuple[str, ...]
    defects: tuple[str, ...]
    render: Render


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "first": Family(tuple(synthetic.CATEGORIES), synthetic.DEFECTS, synthetic.render_part),
        "second": Family(tuple(second.CATEGORIES), second.DEFECTS, second.render_part),
    }
)
"""Filters, mapping and scores of `classic` were chosen on `first`; `second` only confirms."""


def family_of(category: str) -> Family:
    """The family of a category. Raises KeyError for an unknown category."""
    for family in FAMILIES.values():
        if category in family.categories:
            return family
    raise KeyError(category)


def all_categories() -> dict[str, Any]:
    """The names of all categories, in the order of their families."""
    return {name: family for family in FAMILIES.values() for name in family.categories}
