"""Changes of a recipe: traced, made by a `cmfm-worker recipe` command, then loaded by a line that uses it."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request

from cmfm_hmi.errors import PageError
from cmfm_hmi.recipes.files import RecipeView
from cmfm_hmi.site import Site, request_worker
from cmfm_protocol.wire.control import LoadRecipeRequest

COMMAND_LIMIT_S: Final = 120.0
"""An import reads the networks, at low priority beside a line that may need every core."""

LOAD_LIMIT_S: Final = 60.0
"""A recipe is loaded and warmed up before the worker replies."""

SILENT_LIMIT_S: Final = 1.0
"""The same for a worker that is not heard: nobody waits a minute for one that does not run."""

MAX_WHY_CHARS: Final = 500

KIND: Final = "recipe"
"""One change at a time: a second one is told so."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that was made: the recipe's new version, and what became of it on the line (`texts`, recipes.line).

    `line` is "loaded", "not_used" (the line has not loaded this recipe), or "not_loaded" with the `problem`.
    """

    version: int | None
    line: str
    problem: str = ""


async def set_threshold(
    site: Site,
    who: str,
    name: str,
    *,
    fail_at: float,
    grey_from: float | None,
    why: str,
    if_sha: str,
    before: str,
) -> Change:
    """Set a threshold, unless the recipe has changed since `if_sha`. Raises PageError: then nothing has changed."""
    grey = [] if grey_from is None else [f"--grey-from={grey_from!r}"]
    arguments = ["threshold", f"--fail-at={fail_at!r}", *grey, f"--if-sha={if_sha}"]
    return await change(
        site, who, "threshold", name, arguments, [name], why=why, before=before, after=f"{fail_at:.6g}"
    )


async def restore(site: Site, who: str, recipe: RecipeView, *, version: int, why: str) -> Change:
    """Put a version back. Raises PageError: then nothing has changed."""
    before = f"version {recipe.current.version}" if recipe.current else "changed by hand"
    after, operands = f"version {version}", [recipe.name, str(version)]
    return await change(
        site, who, "restore", recipe.name, ["restore"], operands, why=why, before=before, after=after
    )


async def import_recipe(site: Site, who: str, name: str, path: Path, *, replace: bool, why: str) -> Change:
    """Import an exported recipe under a name. Raises PageError: then nothing has changed."""
    options = ["import", f"--name={name}", *(["--force"] if replace else [])]
    return await change(site, who, "import", name, options, [str(path)], why=why, before="", after="a file")


async def change(
    site: Site,
    who: str,
    what: str,
    name: str,
    options: Sequence[str],
    operands: Sequence[str],
    *,
    why: str,
    before: str,
    after: str,
) -> Change:
    """Trace a change, make it by `cmfm-worker recipe`, and let the line load the recipe. Raises PageError."""
    told = f"{after}: {why}" if why else after
    await site.audit.write(who, what, name, before, told)
    try:
        answer = await command(site, [*options, f"--by={who}", f"--why={why}"], operands)
    except PageError as error:
        await site.audit.write(who, f"{what} failed", name, before, str(error.values.get("error", error.key)))
        raise
    version = answer.get("version")
    line, problem = await load(site, name)
    return Change(version if isinstance(version, int) else None, line, problem)


async def command(
    site: Site, options: Sequence[str], operands: Sequence[str], kind: str = KIND
) -> dict[str, Any]:
    """Run `cmfm-worker recipe …` and return its JSON. Raises PageError."""
    config = ["--config", str(site.settings.worker.config), "--json"]
    try:
        done = await site.commands.run(kind, ["recipe", *options, *config, "--", *operands], COMMAND_LIMIT_S)
    except PageError as error:
        for operand in operands if "error" in error.values else ():
            # The person knows an uploaded file by another name than ours.
            error.values["error"] = str(error.values["error"]).replace(f"{operand}: ", "")
        raise
    try:
        answer = json.loads(done.text)
    except ValueError as error:
        raise PageError(
            "command_failed", 500, command=kind, error=f"its answer is not JSON: {error}"
        ) from error
    return answer if isinstance(answer, dict) else {}


async def load(site: Site, name: str) -> tuple[str, str]:
    """Let the line load a recipe that it uses; return what became of it, and the problem. Parts go on meanwhile."""
    snapshot = site.live.snapshot()
    if snapshot.alive and snapshot.state is not None and name not in snapshot.state.recipes:
        return "not_used", ""
    try:
        limit_s = LOAD_LIMIT_S if snapshot.alive else SILENT_LIMIT_S
        await request_worker(site, LoadRecipeRequest(uuid.uuid4().hex, name), limit_s)
    except PageError as error:
        return "not_loaded", str(error.values.get("error", error.key))
    return "loaded", ""


def told(site: Site, request: Request, change: Change) -> dict[str, Any]:
    """Return what became of a change, with a sentence for the person."""
    sentence = site.pages.translator(request)(f"recipes.line.{change.line}", problem=change.problem)
    return {"version": change.version, "line": change.line, "sentence": sentence}


def one_line(text: str) -> str:
    """Return a text without line breaks and control characters, cut to `MAX_WHY_CHARS`."""
    return "".join(char if char.isprintable() else " " for char in text).strip()[:MAX_WHY_CHARS]
