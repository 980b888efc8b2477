"""Parts and settings of a chaos run: small synthetic parts with a recipe taught here, or a line's own settings."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import tomli_w

from cmfm_sim.chaos.line import LineSettings
from cmfm_sim.datasets.synthetic import CATEGORIES
from cmfm_sim.datasets.write import write_dataset
from cmfm_sim.errors import InputError
from cmfm_sim.processes import Children, program

SIZE_PX: Final = 160
FIT_LIMIT_S: Final = 300.0


def ensure_parts(out: Path, category: str, stopped: Callable[[], bool]) -> tuple[Path, Path]:
    """Return data set and line.toml in `out`; make what is missing. Raises InputError, FailedError."""
    if category not in CATEGORIES:
        raise InputError(f"--category {category}: there are {', '.join(CATEGORIES)}")
    root, recipe, config = out / "parts", out / "recipes" / category, out / "line.toml"
    if not (recipe / "recipe.toml").is_file():
        write_dataset(
            root, categories=(category,), train=6, validation=3, good=6, per_defect=1, seed=7, size_px=SIZE_PX
        )
        fit = [
            "fit",
            "--extractors",
            "classic",
            "--simulated-defects",
            "0",
            "--dataset",
            "mvtec3d",
            "--root",
            str(root),
        ]
        fit += ["--category", category]
        with Children(out / "logs") as children:
            child = children.start(
                "fit", [*program("cmfm-worker"), *fit, "--out", str(recipe), "--epochs", "5"]
            )
            child.wait(stopped, FIT_LIMIT_S)
    settings = {
        "recipes": {"folder": "recipes", "default": category},
        "device": {"threads": 1, "warmup_px": SIZE_PX},
    }
    config.write_text(tomli_w.dumps(settings), encoding="utf-8")
    return root, config


def read_settings(config: Path) -> LineSettings:
    """Read a line.toml and make its folders absolute. Raises InputError for invalid TOML."""
    try:
        settings: dict[str, dict[str, Any]] = tomllib.loads(config.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{config} cannot be read as TOML: {error}") from error
    for section in ("recipes", "weights"):
        table = settings.setdefault(section, {})
        table["folder"] = str(config.absolute().parent / table.get("folder", section))
    return settings
