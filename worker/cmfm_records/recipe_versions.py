"""The list of a recipe's versions, as `cmfm-worker` keeps it beside the recipes.

<recipes>/.versions/<name>/versions.jsonl        one line a version, appended
<recipes>/.versions/<name>/<n>/          the files of version n: recipe.toml, mapping.safetensors, report
"""

import json
import math
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cmfm_settings.errors import InputError

RECIPE_FILE: Final = "recipe.toml"
VERSIONS_FOLDER: Final = ".versions"
VERSIONS_FILE: Final = "versions.jsonl"


@dataclass(frozen=True, slots=True)
class Version:
    """One version: its number, when (UTC, ISO 8601), by whom and why it came to be, and what identifies it.

    `model_sha` is "" and `fail_at` None for a recipe that could not be read. `kept`: its files are there.
    """

    version: int
    at: str
    by: str
    why: str
    recipe_sha: str
    model_sha: str
    fail_at: float | None
    kept: bool = False

    def row(self) -> dict[str, Any]:
        """Return the version for JSON."""
        return asdict(self)

    @property
    def at_local(self) -> str:
        """The time by this machine's clock and zone; the text itself if it is not a time."""
        try:
            return datetime.fromisoformat(self.at).astimezone().strftime("%Y-%m-%d %H:%M")
        except ValueError:
            return self.at


def versions_home(recipe_folder: Path) -> Path:
    """Return the folder of a recipe's versions: beside the recipe itself, also where a link leads to it."""
    real = recipe_folder.resolve()
    return real.parent / VERSIONS_FOLDER / real.name


def read_versions(recipe_folder: Path) -> list[Version]:
    """List a recipe's versions, oldest first, without torn lines. Raises InputError if the list is unreadable."""
    home = versions_home(recipe_folder)
    try:
        lines = (home / VERSIONS_FILE).read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{home / VERSIONS_FILE}: cannot be read ({error.strerror or error})") from error
    found = (_version(line, home) for line in lines)
    return [version for version in found if version is not None]


def _version(line: bytes, home: Path) -> Version | None:
    """Read one line; None if it is torn or of a later format."""
    try:
        row = json.loads(line)
        number, fail_at = row["version"], row["fail_at"]
        texts = {key: str(row[key]) for key in ("at", "by", "why", "recipe_sha", "model_sha")}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if type(number) is not int or number < 1 or not isinstance(fail_at, float | int | None):
        return None
    if fail_at is not None and not math.isfinite(fail_at):
        fail_at = None
    return Version(number, fail_at=fail_at, kept=(home / str(number) / RECIPE_FILE).is_file(), **texts)
