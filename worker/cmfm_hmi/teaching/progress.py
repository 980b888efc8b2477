"""A `cmfm-worker teach` that the page started: how far it is, and how it ended, from the JSON lines that it prints."""

import json
from collections.abc import Iterator
from typing import Any, Final

from cmfm_hmi.commands import RunningCommand

STAGES: Final = (
    "start",
    "read",
    "pieces",
    "extract",
    "fit",
    "metric",
    "validate",
    "unseen",
    "folds",
    "simulate",
    "worst",
    "preview",
)
"""Stages in their order; some run side by side, and some not at all."""

TAIL_BYTES: Final = 16_384
"""The end of the output, in which the newest progress stands."""


def progress_of(command: RunningCommand | None, product: str) -> dict[str, Any]:
    """Return `state` (idle, running, done, failed or cancelled), and the stage with its counts, or the error.

    A command about another product is shown as `busy`, with that product's name.
    """
    if command is None:
        return {"state": "idle"}
    about = product_of(command)
    if about != product:
        return {"state": "idle"} if command.done.is_set() else {"state": "busy", "product": about}
    if not command.done.is_set():
        return {"state": "running", **_newest_stage(command)}
    if command.cancelled:
        return {"state": "cancelled"}
    if command.code == 0:
        return {"state": "done"}
    return {"state": "failed", "error": command.failure or f"exit code {command.code}"}


def product_of(command: RunningCommand) -> str:
    """Return the product that a command is about."""
    arguments = command.arguments
    return arguments[arguments.index("--product") + 1]


def _newest_stage(command: RunningCommand) -> dict[str, Any]:
    for event in _events(command):
        if event.get("event") == "progress" and event.get("stage") in STAGES:
            stage = event["stage"]
            counts = {key: event[key] for key in ("done", "total") if isinstance(event.get(key), int)}
            return {"stage": stage, "number": STAGES.index(stage) + 1, "of": len(STAGES), **counts}
    return {"stage": "start", "number": 1, "of": len(STAGES), "done": 0, "total": 1}


def _events(command: RunningCommand) -> Iterator[dict[str, Any]]:
    """The newest events, newest first; lines that are no object are skipped."""
    for line in reversed(bytes(command.output[-TAIL_BYTES:]).splitlines()):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event
