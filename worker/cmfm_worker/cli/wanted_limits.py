"""Reads the limits that a person asks `calibrate` for."""

import math
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from cmfm_worker.teaching.limits import Wanted


def read_wanted(
    false_reject_rate: float | None,
    grey_rate: float | None,
    fail_at: float | None,
    grey_from: float | None,
    minimum_coverage: float | None,
) -> "Wanted":
    """Read the limits asked for. Raises typer.BadParameter naming an option that is out of range or superfluous."""
    for option, rate in (("--target-false-reject-rate", false_reject_rate), ("--grey-rate", grey_rate)):
        if rate is not None and not 0 < rate < 1:
            raise typer.BadParameter("must lie between 0 and 1", param_hint=option)
    for option, score in (("--fail-at", fail_at), ("--grey-from", grey_from)):
        if score is not None and not math.isfinite(score):
            raise typer.BadParameter("must be a finite number", param_hint=option)
    if fail_at is not None and false_reject_rate is not None:
        raise typer.BadParameter("cannot be given with --target-false-reject-rate", param_hint="--fail-at")
    if grey_rate is not None and fail_at is not None:
        raise typer.BadParameter(
            "needs a false-reject rate; with --fail-at give --grey-from", param_hint="--grey-rate"
        )
    if grey_rate is not None and grey_from is not None:
        raise typer.BadParameter("cannot be given with --grey-rate", param_hint="--grey-from")
    if fail_at is not None and grey_from is not None and grey_from >= fail_at:
        raise typer.BadParameter(f"must lie below --fail-at {fail_at:g}", param_hint="--grey-from")
    from cmfm_worker.teaching.limits import Wanted

    return Wanted(false_reject_rate, grey_rate, fail_at, grey_from, minimum_coverage)
