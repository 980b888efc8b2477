"""Nominal parts that look mislabelled: their score lies far out of the tail of the others."""

from collections.abc import Sequence
from dataclasses import dataclass

from cmfm_worker.cfm.metrics.outliers import outlier_limit
from cmfm_worker.teaching.nominal_score import NominalScore


@dataclass(frozen=True, slots=True)
class Suspects:
    """The parts above `limit`, highest score first, and the highest score of the others.

    `limit` and `usual` are None where too few parts were scored to tell.
    """

    parts: tuple[NominalScore, ...] = ()
    limit: float | None = None
    usual: float | None = None


def find_suspects(nominal: Sequence[NominalScore]) -> Suspects:
    """Find the parts that look mislabelled or show a rare view (`cfm.metrics.outliers`)."""
    limit = outlier_limit([each.score for each in nominal])
    if limit is None:
        return Suspects()
    above = sorted((each for each in nominal if each.score > limit), key=lambda each: -each.score)
    usual = max(each.score for each in nominal if each.score <= limit)
    return Suspects(tuple(above), limit, usual)
