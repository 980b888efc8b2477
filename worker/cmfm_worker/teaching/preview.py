"""The preview of a new recipe: what it would have decided about the line's own recent parts, before it is used.

The parts are those called bad, and those of the last hour before the newest one that was collected or archived.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from cmfm_protocol.files.dataset import DatasetError, PartFiles
from cmfm_records.collected import CollectedPart, Use
from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.datasets.scored import ScoredPart, score_parts
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.teaching.collected_parts import files_of

Seen = Literal["taught", "threshold", "new"]
"""What teaching knew of a part: it was fitted on, it set the threshold, or nothing."""

HOUR_NS: Final = 3600 * 10**9

MOST_PARTS: Final = 200
"""The newest are scored: some seconds of one core."""


@dataclass(frozen=True, slots=True)
class PreviewedPart:
    """A part as it was decided (`verdict`, `score`), and as the new recipe would decide it."""

    part: str
    folder: str
    use: Use
    seen: Seen
    done_ns: int
    verdict: str
    reason: str
    score: float | None
    new_verdict: str
    new_score: float | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """The parts that were scored, newest first."""

    parts: tuple[PreviewedPart, ...]

    def figures(self) -> dict[str, Any]:
        """Return parts and counts for JSON. Parts that teaching saw are not counted: they score lower than new ones."""
        new = [part for part in self.parts if part.seen == "new"]
        bad = [part for part in new if part.use == "bad"]
        others = [part for part in new if part.use != "bad"]
        return {
            "counts": {
                verdict: _count(others, verdict) for verdict in ("PASS", "FAIL", "UNDECIDED", "FAULT")
            },
            "changed": sum(part.verdict != part.new_verdict for part in others),
            "bad": {"parts": len(bad), "pass": _count(bad, "PASS")},
            "parts": [asdict(part) for part in self.parts],
        }


def preview(
    extractor: Extractor,
    model: LoadedModel,
    parts: Sequence[CollectedPart],
    *,
    taught: frozenset[str],
    held_out: frozenset[str],
    progress: ReportProgress,
) -> Preview:
    """Score parts with a recipe that is not in use yet. Reports the stage "preview".

    `taught` and `held_out` name the parts that teaching used.
    """
    inspector, found = Inspector(extractor), list[PreviewedPart]()
    for done, part in enumerate(parts, start=1):
        seen: Seen = "taught" if part.name in taught else "threshold" if part.name in held_out else "new"
        found.append(_previewed(inspector, model, part, seen))
        progress("preview", done, len(parts))
    return Preview(tuple(found))


def recent(collected: Sequence[CollectedPart], archived: Sequence[CollectedPart]) -> list[CollectedPart]:
    """Choose what to score, newest first: bad parts, and those of the last hour before the newest; each part once."""
    every = {part.name: part for part in (*archived, *collected)}  # a collected one has its use
    newest_ns = max((_done_ns(part) for part in every.values()), default=0)
    chosen = [part for part in every.values() if part.use == "bad" or _done_ns(part) > newest_ns - HOUR_NS]
    return sorted(chosen, key=lambda part: (part.use != "bad", -_done_ns(part)))[:MOST_PARTS]


def _previewed(inspector: Inspector, model: LoadedModel, part: CollectedPart, seen: Seen) -> PreviewedPart:
    files, facts = files_of(part, "test"), part.facts
    verdict, score, problem = "FAULT", None, ""
    try:
        scored = _scored(inspector, model, files)
    except DatasetError as error:
        problem = str(error)
    else:
        verdict = str(scored.verdict(model.recipe))
        score, problem = (None, scored.problem) if scored.problem else (scored.score, "")
    return PreviewedPart(
        part=part.name,
        folder=str(part.folder),
        use=part.use,
        seen=seen,
        done_ns=_done_ns(part),
        verdict=str(facts["verdict"]),
        reason=str(facts["reason"]),
        score=facts["score"],
        new_verdict=verdict,
        new_score=score,
        problem=problem,
    )


def _scored(inspector: Inspector, model: LoadedModel, files: PartFiles) -> ScoredPart:
    """Score one part alone, as a line on a CPU does."""
    (scored,) = score_parts(inspector, model, [files], batch=1, stage="", progress=lambda *_: None)
    return scored


def _done_ns(part: CollectedPart) -> int:
    value = part.facts.get("done_ns")
    return value if isinstance(value, int) else 0


def _count(parts: Sequence[PreviewedPart], verdict: str) -> int:
    return sum(part.new_verdict == verdict for part in parts)
