"""A recipe as one file, to be sent to another line: a zip without anything that is executed when it is read.

    manifest.json          format_version, name, exported_at, cmfm, files: {name: {sha256, bytes}}, versions
    recipe.toml mapping.safetensors report/…

`export_recipe` writes it, `import_bundle.unpack` reads it.
"""

import os
import tempfile
import zipfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from cmfm_records.recipe_versions import Version
from cmfm_settings.names import Name
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.file_hash import sha256_of
from cmfm_worker.recipes.folder import REPORT_ENDINGS, REPORT_FOLDER
from cmfm_worker.recipes.recipe import RECIPE_FILE
from cmfm_worker.recipes.sections import MAPPING_FILE, Sha256
from cmfm_worker.recipes.versions import require_sound

MANIFEST_FILE: Final = "manifest.json"
BUNDLE_VERSION: Final = 1

_COMPRESSED: Final = frozenset({".png", ".safetensors"})
"""Deflating these gains nothing."""


class BundledFile(BaseModel):
    """A file of the bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Sha256
    bytes: int = Field(ge=0)


class Manifest(BaseModel):
    """The contents of manifest.json. `versions` tell the recipe's history where it comes from; nothing uses them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = BUNDLE_VERSION
    name: Name
    exported_at: str
    cmfm: str
    files: dict[str, BundledFile]
    versions: tuple[dict[str, Any], ...] = ()


def export_recipe(folder: Path, name: str, history: list[Version], file: Path) -> Manifest:
    """Write the recipe in `folder` to `file`, which appears complete and replaces what is there.

    Raises InputError if the recipe is not sound, or the file cannot be written.
    """
    require_sound(folder)
    paths = {RECIPE_FILE: folder / RECIPE_FILE, MAPPING_FILE: folder / MAPPING_FILE}
    if (folder / REPORT_FOLDER).is_dir():
        for path in sorted((folder / REPORT_FOLDER).iterdir()):
            if path.is_file() and path.suffix in REPORT_ENDINGS:
                paths[f"{REPORT_FOLDER}/{path.name}"] = path
    manifest = Manifest(
        name=name,
        exported_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cmfm=version("cmfm"),
        files={
            inside: BundledFile(sha256=sha256_of(path), bytes=path.stat().st_size)
            for inside, path in paths.items()
        },
        versions=tuple(each.row() for each in history),
    )
    try:
        _write(file, manifest, paths)
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror or error})") from error
    return manifest


def _write(file: Path, manifest: Manifest, paths: dict[str, Path]) -> None:
    descriptor, scratch = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as written:
            with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as bundle:
                bundle.writestr(MANIFEST_FILE, manifest.model_dump_json(indent=2))
                for inside, path in paths.items():
                    stored = zipfile.ZIP_STORED if path.suffix in _COMPRESSED else None
                    bundle.write(path, inside, stored)
            written.flush()
            os.fsync(written.fileno())
        Path(scratch).chmod(0o644)
        Path(scratch).replace(file)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
