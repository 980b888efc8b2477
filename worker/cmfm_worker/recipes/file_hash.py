"""SHA-256 of a recipe's files, without the packages that read their numbers."""

import hashlib
from pathlib import Path

from cmfm_worker.errors import InputError


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes. Raises InputError if it cannot be read."""
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise InputError(f"{path}: not a file")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
