"""Files that only their owner may read: passwords, secret keys."""

import os
from pathlib import Path

from cmfm_protocol.files.key_files import SECRET_MODE


def write_private(path: Path, content: bytes) -> None:
    """Write a file that its owner alone can read; makes its folder. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, SECRET_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
