"""The key that signs cookies: made at the first start, in a file that its owner alone can read."""

import secrets
import stat
from pathlib import Path
from typing import Final

from cmfm_hmi.errors import InputError, StartupError
from cmfm_settings.private_file import write_private

KEY_BYTES: Final = 32


def read_or_make_secret(path: Path) -> bytes:
    """Return the key of the file; makes a new one for a missing file.

    Raises InputError for a file that others can read or that is too short, StartupError if it cannot be written.
    """
    try:
        if not path.exists():
            write_private(path, secrets.token_bytes(KEY_BYTES))
        mode, key = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
    except OSError as error:
        raise StartupError(f"access.secret: {path} cannot be read or made: {error}") from error
    if mode & 0o077:
        raise InputError(f"access.secret: {path} can be read by others (mode {mode:o}); chmod 600 {path}")
    if len(key) < KEY_BYTES:
        raise InputError(f"access.secret: {path} has {len(key)} bytes; remove it, and a new one is made")
    return key
