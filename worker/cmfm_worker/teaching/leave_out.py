"""Leaves nominal parts out by name, for parts that a person has found to be mislabelled."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from cmfm_protocol.files.dataset import PartFiles
from cmfm_protocol.files.folder_names import normal
from cmfm_worker.errors import InputError


def names_left_out(parts: Sequence[PartFiles], names: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of the parts that `names` mean, sorted. A name is a part's id, or its file's name if only one
    part has it, with or without the ending.

    Raises InputError for a name that no part has (the message gives the nearest), or that several parts have.
    """
    return tuple(sorted({_id_of(name, parts) for name in names}))


def without(parts: Sequence[PartFiles], left_out: Iterable[str]) -> list[PartFiles]:
    """Return the parts whose ids are not in `left_out`."""
    ids = set(left_out)
    return [part for part in parts if part.id not in ids]


def _id_of(name: str, parts: Sequence[PartFiles]) -> str:
    wanted = normal(name)
    ids = [part.id for part in parts]
    if wanted in ids:
        return wanted
    stems = {part.id: _stem(part) for part in parts}
    meant = [id_ for id_, stem in stems.items() if wanted in (stem, *_with_endings(stem))]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise InputError(
            f"--leave-out {name!r}: several parts have this name; give one of {', '.join(meant)}"
        )
    near = get_close_matches(wanted, [*ids, *stems.values()], n=1, cutoff=0.0)
    hint = f"; the nearest name is {near[0]!r}" if near else ""
    raise InputError(f"--leave-out {name!r}: there is no such nominal part{hint}")


def _stem(part: PartFiles) -> str:
    return normal(part.rgb.stem)


def _with_endings(stem: str) -> tuple[str, ...]:
    return tuple(stem + ending for ending in (".png", ".PNG", ".tiff", ".tif"))
