"""Chooses from a product's collected parts those to teach from: readable good ones, each frame once."""

from collections.abc import Sequence
from dataclasses import dataclass

from cmfm_protocol.files.dataset import GOOD, PartFiles
from cmfm_records.archived_part import RGB_FILE, XYZ_FILE, read_archived_part
from cmfm_records.collected import CollectedPart, Product
from cmfm_records.enough_parts import ENOUGH_PARTS, LEAST_PARTS, SOURCE, ten_more
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.errors import InputError
from cmfm_worker.teaching.which_parts import TeachParts, hold_out

BAD = "bad"
"""The kind of defect of a part that somebody called bad."""


@dataclass(frozen=True, slots=True)
class ChosenParts:
    """The good parts to teach from, oldest first; `repeated` and `unreadable` are the names of those left out."""

    good: tuple[CollectedPart, ...]
    repeated: tuple[str, ...]
    unreadable: tuple[str, ...]

    def split(self, product: str, seed: int) -> TeachParts:
        """Split them as `fit` does without a validation split: a fifth sets the threshold. Raises InputError."""
        files = [files_of(part, "train") for part in self.good]
        train, validation = hold_out(files, seed, product)
        return TeachParts(tuple(train), tuple(validation), held_out=True)

    def remarks(self) -> list[str]:
        """One line for each reason why good parts were left out."""
        lines = [f"{line}; it is left out" for line in self.unreadable]
        if self.repeated:
            lines.append(
                f"{len(self.repeated)} parts have a frame that another part has, and are left out: they would be "
                "taught from and set the threshold as well"
            )
        return lines


def files_of(part: CollectedPart, split: str) -> PartFiles:
    """The files of a collected part; its defect is `BAD` if somebody called it bad."""
    return PartFiles(
        id=part.name,
        split=split,
        defect=BAD if part.use == BAD else GOOD,
        rgb=part.folder / RGB_FILE,
        xyz=part.folder / XYZ_FILE,
        gt=None,
    )


def choose_collected(product: Product, progress: ReportProgress) -> ChosenParts:
    """Read every good part once and choose. Reports the stage "read". Raises InputError if there are too few."""
    wanted = product.used_as("good")
    good, repeated, unreadable = list[CollectedPart](), list[str](), list[str]()
    seen = set[str]()
    for done, part in enumerate(wanted, start=1):
        sha256 = str(part.facts["frame_sha256"])
        if sha256 in seen:
            repeated.append(part.name)
        elif problem := _problem(part):
            unreadable.append(problem)
        else:
            seen.add(sha256)
            good.append(part)
        progress("read", done, len(wanted))
    chosen = ChosenParts(tuple(good), tuple(repeated), tuple(unreadable))
    require_enough_good(product.name, chosen)
    return chosen


def require_enough_good(product: str, chosen: ChosenParts) -> None:
    """Raise InputError, saying what is missing and what more would buy, if there are too few parts."""
    if len(chosen.good) >= LEAST_PARTS:
        return
    missing = LEAST_PARTS - len(chosen.good)
    found = f"{product}: too few parts: {len(chosen.good)} good parts, {LEAST_PARTS} are needed; collect {missing} more"
    raise InputError("\n".join([*chosen.remarks(), found, gain(LEAST_PARTS)]))


def gain(parts: int) -> str:
    """Say what ten further parts buy, by the measurements that docs/accuracy.md has."""
    ten = ten_more(parts)
    if not ten.bought:
        return f"{parts} good parts: no measurement says what further ones buy ({SOURCE})"
    few = (
        ""
        if parts >= ENOUGH_PARTS
        else f", and with fewer than {ENOUGH_PARTS} many defective parts could PASS"
    )
    return (
        f"{parts} good parts: ten more brought I-AUROC from {ten.now:.3f} to {ten.then:.3f} where it was measured "
        f"({SOURCE}){few}; parts that lie alike need fewer"
    )


def names(parts: Sequence[PartFiles]) -> frozenset[str]:
    """The names of parts."""
    return frozenset(part.id for part in parts)


def _problem(part: CollectedPart) -> str | None:
    """Why a part cannot be read; its frame must be the one that the line received."""
    try:
        read_archived_part(part.folder)
    except Exception as error:  # noqa: BLE001 (a damaged picture may raise anything; the part is named and left out)
        return f"{part.name}: {error}"
    return None
