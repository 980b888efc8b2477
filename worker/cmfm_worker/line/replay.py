"""A kept part inspected again by the recorded recipe, and whether the outcome is the same bit for bit."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.datasets.batches import to_frames
from cmfm_worker.errors import InputError
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.line.compute.device import choose_precision
from cmfm_worker.line.compute.line_inspector import decision_of
from cmfm_worker.line.messages import Decision, LineRecipe
from cmfm_worker.line.records.archive import made_on
from cmfm_worker.line.records.archive_folder import ArchivedPart, part_folders, read_facts
from cmfm_worker.line.records.ledger.query import Question, open_ledger
from cmfm_worker.recipes.extractors import extractor_of
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import RECIPE_FILE, load_recipe
from cmfm_worker.recipes.registry import recipe_path
from cmfm_worker.settings.model import Settings

FROM_THE_FRAME: Final = (Reason.NO_VALID_3D, Reason.TOO_FEW_POINTS)
"""Reasons of a FAULT that the frame decides; the others are the line's: a deadline, a full ring, a drain."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Verdict, reason and score of one inspection."""

    verdict: str
    reason: str
    score: float | None

    def text(self) -> str:
        """In one line, the score with all its bits."""
        return f"{self.verdict} ({self.reason}), score {'none' if self.score is None else repr(self.score)}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The recorded outcome beside the one found again. `maps_equal` is None where no maps were kept."""

    recorded: Outcome
    replayed: Outcome
    maps_equal: bool | None
    remarks: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Verdict, reason, score and kept maps are the same, bit for bit."""
        same_score = score_bits(self.recorded.score) == score_bits(self.replayed.score)
        named = (self.recorded.verdict, self.recorded.reason) == (self.replayed.verdict, self.replayed.reason)
        return named and same_score and self.maps_equal is not False


def score_bits(score: float | None) -> bytes:
    """The bits of a score: 0.0 and -0.0 differ."""
    return b"" if score is None else struct.pack(">d", score)


def find_part(wanted: str, settings: Settings) -> Path:
    """The folder of a kept part named by folder or by boot_id/result_id. Raises InputError, saying why not."""
    folder = Path(wanted)
    if folder.is_dir():
        return folder
    boot_id, _, number = wanted.partition("/")
    if not boot_id or not number.isdecimal():
        raise InputError(f"{wanted!r} is neither a folder nor boot_id/result_id, as in `cmfm-worker ledger`")
    for candidate in part_folders(settings.kept.folder):
        if candidate.name.endswith(f"_{number}"):
            facts = read_facts(candidate)
            if (facts["boot_id"], facts["result_id"]) == (boot_id, int(number)):
                return candidate
    raise InputError(f"{wanted}: not among the kept parts in {settings.kept.folder}{_fate(wanted, settings)}")


def recorded_model(facts: Mapping[str, Any], settings: Settings, device: torch.device) -> LineRecipe:
    """The recipe that decided, loaded again. Raises InputError where it is another one now."""
    name = facts["recipe"] or settings.recipes.default
    if not name:
        raise InputError("the frame named no recipe and [recipes] default is empty: set the default of then")
    loaded = load_recipe(recipe_path(settings.recipes.folder, name))
    for what, then, now in (
        (RECIPE_FILE, facts["recipe_sha"], loaded.recipe_sha),
        ("model", facts["model_sha"], loaded.model_sha),
    ):
        if then and then != now:
            raise InputError(
                f"recipe {name!r} has changed since: its {what} has sha256 {now[:12]}…, the part was decided by "
                f"{then[:12]}…; put that recipe back (or set [recipes] folder to a copy) and try again"
            )
    if loaded.recipe.threshold is None:
        raise InputError(f"recipe {name!r} has no threshold, so it cannot decide anything")
    precision = choose_precision(settings.device.precision, device)
    inspector = Inspector(extractor_of(loaded.recipe, settings.weights.folder, device, precision))
    inspector.require_match(loaded.recipe)
    return LineRecipe(LoadedModel.of(loaded, device, precision), inspector, loaded.recipe_sha)


def replay(part: ArchivedPart, model: LineRecipe, device: torch.device) -> Comparison:
    """Inspect a kept part again, alone, as the line does, and compare."""
    with torch.inference_mode():
        found = model.inspector.inspect(*to_frames([(part.rgb, part.xyz)], device), [model.model]).parts()[0]
        decision = decision_of(found, model, part.facts["calib_id"])
    facts = part.facts
    return Comparison(
        recorded=Outcome(facts["verdict"], facts["reason"], facts["score"]),
        replayed=Outcome(str(decision.verdict), str(decision.reason), decision.score),
        maps_equal=_maps_equal(part, decision) if part.maps else None,
        remarks=tuple(_remarks(facts, device)),
    )


def check_against_ledger(facts: Mapping[str, Any], settings: Settings) -> bool:
    """Whether the ledger has the part's row. Raises InputError where it says something else than result.json."""
    row = _row(f"{facts['boot_id']}/{facts['result_id']}", settings)
    if row is None:
        return False
    keys = ("verdict", "reason", "score", "model_sha", "frame_sha256")
    other = [key for key in keys if row[key] != facts[key]]
    if other:
        raise InputError(
            f"the kept part and the ledger {settings.ledger.path} do not say the same of {', '.join(other)}"
        )
    return True


def _maps_equal(part: ArchivedPart, decision: Decision) -> bool:
    if decision.maps is None:
        return False
    return all(
        kept.tobytes() == np.asarray(getattr(decision.maps, name)).tobytes()
        for name, kept in part.maps.items()
    )


def _remarks(facts: Mapping[str, Any], device: torch.device) -> list[str]:
    """Why the outcome may differ although frame and recipe are the same."""
    lines = []
    if facts["verdict"] == "FAULT" and facts["reason"] not in FROM_THE_FRAME:
        lines.append(
            f"this FAULT ({facts['reason']}) was not decided from the frame; it cannot come out equal"
        )
    for key, now in made_on(device, torch.get_num_threads()).items():
        if facts.get(key) != now:
            lines.append(f"{key} was {facts.get(key)}, here it is {now}")
    if facts.get("batch", 1) != 1:
        lines.append(f"it was computed together with {facts['batch'] - 1} other parts, here alone")
    return lines


def _row(wanted: str, settings: Settings) -> dict[str, object] | None:
    path = settings.ledger.path
    if path is None or not path.is_file():
        return None
    boot_id, _, number = wanted.partition("/")
    with open_ledger(path) as reader:
        return next(reader.rows(Question(boot=boot_id, result_id=int(number))), None)


def _fate(wanted: str, settings: Settings) -> str:
    row = _row(wanted, settings)
    if row is None:
        return ""
    return (
        f"; the ledger says {row['verdict']} ({row['reason']}) at {row['done_utc']}. "
        f"Kept are: {settings.kept.which}, up to {settings.kept.max_mb:g} MB"
    )
