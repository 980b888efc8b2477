"""Teaches a product from its collected parts: chooses, teaches as `fit` does, and previews what the recipe decides."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cmfm_records.archived_part import part_folders, read_facts
from cmfm_records.collected import CollectedPart, Product
from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.errors import InputError
from cmfm_worker.teaching.closing import Closing, closing_of
from cmfm_worker.teaching.collected_parts import ChosenParts, choose_collected, names
from cmfm_worker.teaching.options import TeachOptions
from cmfm_worker.teaching.pieces import pieces_on
from cmfm_worker.teaching.preview import Preview, preview, recent
from cmfm_worker.teaching.teach import Taught, teach


@dataclass(frozen=True, slots=True)
class TaughtProduct:
    """A recipe that is not written yet, the parts that it was taught from, and how it does."""

    chosen: ChosenParts
    taught: Taught
    closing: Closing
    preview: Preview


def teach_collected(
    extractor: Extractor,
    product: Product,
    archive: Path,
    name: str,
    options: TeachOptions,
    *,
    simulated: int,
    progress: ReportProgress,
) -> TaughtProduct:
    """Teach a product. `archive` is the line's folder of archived parts, for the preview; `name` the recipe's.

    Reports the stages "read", those of `teach` and `closing_of`, and "preview". Raises InputError if there are too few
    parts or they cannot be taught from.
    """
    chosen = choose_collected(product, progress)
    parts = chosen.split(product.name, options.seed)
    background = pieces_on(parts.train, options.background, options.batch, extractor.device, progress)
    options = replace(options, dataset="collected", category=product.name, background=background)
    taught = teach(extractor, parts, options, name, progress)
    closing = closing_of(
        extractor, taught.model, taught.nominal, simulated=simulated, batch=options.batch, progress=progress
    )
    tried = preview(
        extractor,
        taught.model,
        recent(product.parts, archived_parts(archive, product.parts, name)),
        taught=names(parts.train),
        held_out=names(parts.validation),
        progress=progress,
    )
    return TaughtProduct(chosen, taught, closing, tried)


def archived_parts(archive: Path, collected: Iterable[CollectedPart], name: str) -> list[CollectedPart]:
    """Read the archived parts of which the frames named the recipe `name`, or one that the collected parts named."""
    recipes = {name, *(str(part.facts["recipe"]) for part in collected)}
    return [
        CollectedPart(folder, facts, None)
        for folder, facts in _facts_in(archive)
        if facts["recipe"] in recipes
    ]


def _facts_in(archive: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for folder in part_folders(archive):
        try:
            yield folder, read_facts(folder)
        except InputError:  # the line has just deleted it
            continue
