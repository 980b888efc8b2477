"""Inspects an archived part again with the recorded recipe and compares the outcome bit for bit."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from cmfm_protocol.wire.verdict import Reason
from cmfm_records.archived_part import ArchivedPart, part_folders, read_facts
from cmfm_records.ledger import Question, open_ledger
from cmfm_worker.datasets.batches import to_frames
from cmfm_worker.errors import InputError
from cmfm_worker.inspection.frame_check import check_frame
from cmfm_worker.inspection.inspector import BuildExtractor, Inspector
from cmfm_worker.line.compute.device import choose_precision
from cmfm_worker.line.compute.line_inspector import decision_of, refusal
from cmfm_worker.line.messages import Decision, LineRecipe
from cmfm_worker.line.records.archive import made_on
from cmfm_worker.recipes.extractors import extractor_of
from cmfm_worker.recipes.file_hash import sha256_of
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import RECIPE_FILE, load_recipe
from cmfm_worker.recipes.recipe_path import recipe_path
from cmfm_worker.recipes.versions import find_version
from cmfm_worker.settings.model import Settings

FROM_THE_FRAME: Final = (
    Reason.IMPLAUSIBLE_3D,
    Reason.OTHER_GEOMETRY,
    Reason.NO_VALID_3D,
    Reason.TOO_FEW_POINTS,
)
"""Reasons of a FAULT that the frame itself causes; all others come from the line: a deadline, a full ring, a drain."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Verdict, reason and score of one inspection."""

    verdict: str
    reason: str
    score: float | None

    def text(self) -> str:
        """Return the outcome in one line, the score with all its digits."""
        return f"{self.verdict} ({self.reason}), score {'none' if self.score is None else repr(self.score)}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The recorded outcome and the repeated one. `maps_equal` is None if no maps were archived."""

    recorded: Outcome
    replayed: Outcome
    maps_equal: bool | None
    remarks: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """True if verdict, reason, score and archived maps are the same, bit for bit."""
        recorded, replayed = self.recorded, self.replayed
        same_verdict = (recorded.verdict, recorded.reason) == (replayed.verdict, replayed.reason)
        same_score = score_bits(recorded.score) == score_bits(replayed.score)
        return same_verdict and same_score and self.maps_equal is not False


def score_bits(score: float | None) -> bytes:
    """Return the bits of a score, in which 0.0 and -0.0 differ; empty for None."""
    return b"" if score is None else struct.pack(">d", score)


def find_part(wanted: str, settings: Settings) -> Path:
    """Find the folder of an archived part by its path or by boot_id/result_id.

    Raises InputError for an unknown part; the message says what the ledger knows of it.
    """
    folder = Path(wanted)
    if folder.is_dir():
        return folder
    boot_id, _, number = wanted.partition("/")
    if not boot_id or not number.isdecimal():
        raise InputError(f"{wanted!r} is neither a folder nor boot_id/result_id (see `cmfm-worker ledger`)")
    for candidate in part_folders(settings.kept.folder):
        if candidate.name.endswith(f"_{number}"):
            facts = read_facts(candidate)
            if (facts["boot_id"], facts["result_id"]) == (boot_id, int(number)):
                return candidate
    raise InputError(
        f"{wanted}: not among the archived parts in {settings.kept.folder}{_ledger_remark(wanted, settings)}"
    )


def recorded_model(
    facts: Mapping[str, Any],
    settings: Settings,
    device: torch.device,
    build: BuildExtractor = extractor_of,
) -> LineRecipe:
    """Load the recipe that decided, the one in use or a kept version of it.

    Raises InputError if it has changed since and is not among the versions.
    """
    name = facts["recipe"] or settings.recipes.default
    if not name:
        raise InputError(
            "the frame named no recipe and [recipes] default is empty; set the default that the line had then"
        )
    loaded = load_recipe(_as_recorded(recipe_path(settings.recipes.folder, name), facts["recipe_sha"]))
    for what, then, now in (
        (RECIPE_FILE, facts["recipe_sha"], loaded.recipe_sha),
        ("model", facts["model_sha"], loaded.model_sha),
    ):
        if then and then != now:
            raise InputError(
                f"recipe {name!r} has changed since: its {what} has sha256 {now[:12]}…, but the part was decided with "
                f"{then[:12]}…, which is not among its versions; restore that recipe (or set [recipes] folder to a "
                "copy) and try again"
            )
    if loaded.recipe.threshold is None:
        raise InputError(f"recipe {name!r} has no threshold, so it cannot decide anything")
    precision = choose_precision(settings.device.precision, device)
    inspector = Inspector(build(loaded.recipe, settings.weights.folder, device, precision))
    inspector.require_match(loaded.recipe)
    return LineRecipe(LoadedModel.of(loaded, device, precision), inspector, loaded.recipe_sha)


def _as_recorded(folder: Path, recipe_sha: str) -> Path:
    """Return the folder of the recipe that decided: the one in use, or a version of it if that has changed since."""
    path = folder / RECIPE_FILE
    if not recipe_sha or (path.is_file() and sha256_of(path) == recipe_sha):
        return folder
    return find_version(folder, recipe_sha) or folder


def replay(part: ArchivedPart, model: LineRecipe, device: torch.device) -> Comparison:
    """Inspect an archived part again as the line does, in a batch of its own, and compare."""
    with torch.inference_mode():
        decision = _decided(part, model, device)
    facts = part.facts
    if facts["reason"] == Reason.DRIFT:  # the parts before it decided that
        decision = decision.as_drifted()
    return Comparison(
        recorded=Outcome(facts["verdict"], facts["reason"], facts["score"]),
        replayed=Outcome(str(decision.verdict), str(decision.reason), decision.score),
        maps_equal=_maps_equal(part, decision) if part.maps else None,
        remarks=tuple(_remarks(facts, device)),
    )


def _decided(part: ArchivedPart, model: LineRecipe, device: torch.device) -> Decision:
    problem = check_frame(part.xyz, model.model.recipe)
    if problem is not None:
        return refusal(problem, model)
    found = model.inspector.inspect(*to_frames([(part.rgb, part.xyz)], device), [model.model]).parts()[0]
    return decision_of(found, model, part.facts["calib_id"])


def check_against_ledger(facts: Mapping[str, Any], settings: Settings) -> bool:
    """Return True if the ledger has the part's row. Raises InputError if the row contradicts result.json."""
    row = _row(f"{facts['boot_id']}/{facts['result_id']}", settings)
    if row is None:
        return False
    keys = ("verdict", "reason", "score", "model_sha", "frame_sha256")
    other = [key for key in keys if row[key] != facts[key]]
    if other:
        raise InputError(
            f"the archived part and the ledger {settings.ledger.path} differ in {', '.join(other)}"
        )
    return True


def _maps_equal(part: ArchivedPart, decision: Decision) -> bool:
    if decision.maps is None:
        return False
    return all(
        archived.tobytes() == np.asarray(getattr(decision.maps, name)).tobytes()
        for name, archived in part.maps.items()
    )


def _remarks(facts: Mapping[str, Any], device: torch.device) -> list[str]:
    """List the reasons why the outcome may differ although frame and recipe are the same."""
    lines = []
    if facts["verdict"] == "FAULT" and facts["reason"] not in FROM_THE_FRAME:
        lines.append(
            f"this FAULT ({facts['reason']}) was not caused by the frame; the replay cannot reproduce it"
        )
    if facts["reason"] == Reason.DRIFT:
        lines.append(
            "the parts before it had drifted, which a replay takes as recorded; by itself it would PASS"
        )
    for key, now in made_on(device, torch.get_num_threads()).items():
        if facts.get(key) != now:
            lines.append(f"{key} was {facts.get(key)}, now it is {now}")
    if facts.get("batch", 1) != 1:
        lines.append(f"it was computed in a batch with {facts['batch'] - 1} other parts, now alone")
    return lines


def _row(wanted: str, settings: Settings) -> dict[str, object] | None:
    path = settings.ledger.path
    if path is None or not path.is_file():
        return None
    boot_id, _, number = wanted.partition("/")
    with open_ledger(path) as reader:
        return next(reader.rows(Question(boot=boot_id, result_id=int(number))), None)


def _ledger_remark(wanted: str, settings: Settings) -> str:
    row = _row(wanted, settings)
    if row is None:
        return ""
    return (
        f"; the ledger has {row['verdict']} ({row['reason']}) at {row['done_utc']}. "
        f"The line archives {settings.kept.which} parts, up to {settings.kept.max_mb:g} MB"
    )
