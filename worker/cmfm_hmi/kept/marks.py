"""Wrong calls: what people said about archived parts. A mark copies the part to a product's collected parts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cmfm_records.collected import CHOICES, Choice, Use, products, read_choices, take_archived
from cmfm_records.time_text import parse_time_ns
from cmfm_settings.errors import InputError

WHY: Final = "wrong call"


@dataclass(frozen=True, slots=True)
class Mark:
    """A decision about a part, and the product that it belongs to."""

    product: str
    choice: Choice

    @property
    def at_ns(self) -> int:
        """When it was made; 0 if the file does not say."""
        try:
            return parse_time_ns(self.choice.at, 0)
        except InputError:
            return 0


class Marks:
    """Reads and makes marks below the folder of collected parts. Any thread."""

    def __init__(self, collected: Path) -> None:
        self._collected = collected
        self._read: dict[str, tuple[tuple[int, int], Mapping[str, Choice]]] = {}

    def products(self) -> list[str]:
        """The products that have collected parts. Raises InputError."""
        return products(self._collected)

    def of(self, names: Collection[str]) -> dict[str, list[Mark]]:
        """The marks of some parts, by the part's name; the newest first. Raises InputError."""
        found: dict[str, list[Mark]] = {}
        for product in self.products():
            choices = self._choices(product)
            for name in names:
                if name in choices:
                    found.setdefault(name, []).append(Mark(product, choices[name]))
        return {
            name: sorted(marks, key=lambda mark: mark.choice.at, reverse=True)
            for name, marks in found.items()
        }

    def add(self, product: str, archived: Path, use: Use, by: str, comment: str) -> Choice:
        """Copy a part to a product's parts, with the decision about it. Raises InputError."""
        return take_archived(self._collected, product, archived, use, by, comment, why=WHY)

    def _choices(self, product: str) -> Mapping[str, Choice]:
        """The decisions of a product, read again if its file has changed."""
        try:
            facts = (self._collected / product / CHOICES).stat()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InputError(
                f"{self._collected / product}: cannot be read ({error.strerror or error})"
            ) from error
        state = (facts.st_mtime_ns, facts.st_size)
        known = self._read.get(product)
        if known is None or known[0] != state:
            known = (state, read_choices(self._collected, product))
            self._read[product] = known
        return known[1]
