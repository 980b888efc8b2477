"""A product's collected parts as the Teach page shows them, read again only when something has changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cmfm_records.collected import CHOICES, PARTS, CollectedPart, Product, product_folder, read_product
from cmfm_records.enough_parts import ENOUGH_PARTS, LEAST_PARTS, ten_more
from cmfm_records.odd_parts import Oddness, odd_parts
from cmfm_settings.errors import InputError

SHOWN_PARTS: Final = 80
"""Parts on the strip, the newest, beside the odd ones."""

KEPT_PRODUCTS: Final = 20


@dataclass(frozen=True, slots=True)
class ProductView:
    """A product, the odd ones among its parts, and a mark that changes with any of it."""

    product: Product
    odd: Mapping[str, tuple[Oddness, ...]]
    revision: str

    def counts(self) -> dict[str, Any]:
        """How many parts there are of each use, how many are needed, and what ten more buy."""
        good = len(self.product.used_as("good"))
        ten = ten_more(good)
        return {
            "good": good,
            "bad": len(self.product.used_as("bad")),
            "left_out": len(self.product.used_as("left_out")),
            "odd": len(self.odd),
            "least": LEAST_PARTS,
            "enough": ENOUGH_PARTS,
            "now": ten.now,
            "then": ten.then,
        }

    def strip(self) -> dict[str, Any]:
        """The odd parts, then the newest others, newest first; `more` further parts are not shown."""
        newest = list(reversed(self.product.parts))
        odd = [part for part in newest if part.name in self.odd]
        others = [part for part in newest if part.name not in self.odd]
        shown = [*odd, *others[:SHOWN_PARTS]]
        return {"parts": [self._row(part) for part in shown], "more": len(newest) - len(shown)}

    def _row(self, part: CollectedPart) -> dict[str, Any]:
        facts, choice = part.facts, part.choice
        return {
            "name": part.name,
            "part_id": str(facts.get("part_id", "")),
            "verdict": str(facts["verdict"]),
            "reason": str(facts["reason"]),
            "score": facts["score"],
            "use": part.use,
            "by": choice.by if choice is not None else "",
            "comment": choice.comment if choice is not None else "",
            "odd": list(self.odd.get(part.name, ())),
        }


class Products:
    """Reads products. Its methods block; threads may call them at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, ProductView] = {}

    def view(self, name: str) -> ProductView:
        """Return a product, which need not have parts. Raises InputError."""
        revision = self._revision(name)
        known = self._read.get(name)
        if known is not None and known.revision == revision:
            return known
        product = read_product(self._folder, name)
        found = ProductView(product, odd_parts(product.parts), revision)
        if len(self._read) >= KEPT_PRODUCTS:
            self._read.clear()
        self._read[name] = found
        return found

    def part_folder(self, name: str, part: str) -> Path:
        """Return the folder of a collected part, which need not exist. Raises InputError for an invalid product."""
        return product_folder(self._folder, name) / PARTS / part

    def _revision(self, name: str) -> str:
        home = product_folder(self._folder, name)
        marks = []
        for path in (home / PARTS, home / CHOICES):
            try:
                facts = path.stat()
            except FileNotFoundError:
                marks.append("0")
            except OSError as error:
                raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
            else:
                marks.append(f"{facts.st_mtime_ns:x}.{facts.st_size:x}")
        return "-".join(marks)
