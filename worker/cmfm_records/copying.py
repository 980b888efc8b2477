"""Copies folders, with the first error that occurs as what it is."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

_NUMBER: Final = re.compile(r"^\[Errno -?\d+\] ")


def copy_folder(source: Path, target: Path, copy: Callable[[str, str], object] | None = None) -> None:
    """Copy a folder of files and folders to `target`, which must not exist, each file by `copy` or `shutil.copyfile`.

    Raises OSError whose `strerror` is the reason of the first file that was not copied: `shutil.copytree` collects them
    in a list that nobody can read. What was copied stays.
    """
    try:
        shutil.copytree(source, target, copy_function=copy or shutil.copyfile)
    except shutil.Error as error:
        _, _, reason = error.args[0][0]
        raise OSError(0, _NUMBER.sub("", str(reason))) from error
