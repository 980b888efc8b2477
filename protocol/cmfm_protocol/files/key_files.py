"""CURVE keys in ZeroMQ's certificate files (WIRE.md, security): read, checked, written once.

A pair NAME is two files: `NAME.key_secret` (both keys, its owner's alone) and `NAME.key` (the public one, for the
peers), as pyzmq's `zmq.auth` and czmq's zcert have them. Keys are Z85 text: 40 characters for 32 bytes.
"""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cmfm_protocol.wire.limits import NAME_PATTERN, NAME_RULE

PUBLIC_SUFFIX: Final = ".key"
SECRET_SUFFIX: Final = ".key_secret"  # noqa: S105 (a file name's end)
SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
"""Permissions of others than the owner. A secret key proves its owner, so nobody else may read or replace the file."""

MAX_FILE_BYTES: Final = 65_536
"""A certificate is a few lines; a larger file is something else."""

_KEY: Final = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_ENTRY: Final = re.compile(r"""^\s*(public|secret)-key\s*=\s*["']?([^"'\s]*)["']?\s*$""", re.MULTILINE)
_BANNER: Final = {
    PUBLIC_SUFFIX: "#   ZeroMQ CURVE public certificate: give it to the peers, by a way that nobody can tamper with.\n",
    SECRET_SUFFIX: "#   ZeroMQ CURVE SECRET certificate: stays where it is used, readable by its owner alone.\n",
}


class KeyFileError(Exception):
    """A key file or folder cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A public key and its secret one, Z85 as bytes. The `repr` leaves out the secret."""

    public: bytes
    secret: bytes = field(repr=False)


def read_pair(path: Path) -> KeyPair:
    """The pair in a secret certificate. Raises KeyFileError, also if others than its owner may read the file."""
    keys = _read(path)
    mode = path.stat().st_mode
    if mode & OTHERS:
        raise KeyFileError(
            f"{path}: a secret key that others than its owner can reach (mode {stat.S_IMODE(mode):04o}); "
            f"chmod 600 {path}, and make a new pair if others may have read it"
        )
    if "secret" not in keys:
        raise KeyFileError(
            f"{path}: holds no secret key; the secret key is in the file that ends in {SECRET_SUFFIX}"
        )
    return KeyPair(keys["public"], keys["secret"])


def read_public(path: Path) -> bytes:
    """The key in a public certificate. Raises KeyFileError, also if a secret key is in it."""
    keys = _read(path)
    if "secret" in keys:
        raise KeyFileError(
            f"{path}: holds a secret key, which never leaves its owner; the public one is the file that ends "
            f"in {PUBLIC_SUFFIX}"
        )
    return keys["public"]


def read_allowed(folder: Path) -> tuple[dict[bytes, str], list[str]]:
    """The public certificates (`*.key`) of a folder, key → name, and a message for each file that is not one.

    Raises KeyFileError if the folder itself cannot be read.
    """
    allowed: dict[bytes, str] = {}
    problems: list[str] = []
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == PUBLIC_SUFFIX)
    except OSError as error:
        raise KeyFileError(
            f"{folder}: this folder of public keys cannot be read ({error.strerror}); an empty one admits nobody"
        ) from error
    for path in paths:
        try:
            allowed[read_public(path)] = path.stem
        except KeyFileError as error:
            problems.append(str(error))
    return allowed, problems


def write_pair(folder: Path, name: str, pair: KeyPair) -> tuple[Path, Path]:
    """Write `NAME.key_secret` (mode 0600) and `NAME.key`; returns both paths. Never replaces a file.

    `folder` is made if it is missing. Raises KeyFileError.
    """
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise KeyFileError(f"name {name!r} of a key: {NAME_RULE}")
    secret, public = folder / f"{name}{SECRET_SUFFIX}", folder / f"{name}{PUBLIC_SUFFIX}"
    for path in (secret, public):
        if os.path.lexists(path):
            raise KeyFileError(f"{path}: exists already; keys are never replaced, choose another name")
    entry = f'    public-key = "{pair.public.decode()}"\n'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _create(secret, SECRET_MODE, entry + f'    secret-key = "{pair.secret.decode()}"\n')
        _create(public, PUBLIC_MODE, entry)
    except OSError as error:
        raise KeyFileError(f"{folder}: the keys cannot be written ({error.strerror or error})") from error
    return secret, public


def _create(path: Path, mode: int, entries: str) -> None:
    descriptor = os.open(
        path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode
    )  # with its mode from the first byte on
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, mode)  # whatever the umask
        file.write(f"{_BANNER[path.suffix]}\nmetadata\ncurve\n{entries}")


def _read(path: Path) -> dict[str, bytes]:
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise KeyFileError(f"{path}: this key file is no file")
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES).decode("utf-8-sig", "replace")
    except OSError as error:
        raise KeyFileError(f"{path}: this key file cannot be read ({error.strerror})") from error
    found = dict(_ENTRY.findall(text))
    if "public" not in found:
        raise KeyFileError(f"{path}: not a ZeroMQ certificate, it has no public-key")
    for kind, key in found.items():
        if not _KEY.fullmatch(key):
            raise KeyFileError(f"{path}: the {kind}-key is not a key; expected 40 characters of Z85")
    return {kind: key.encode() for kind, key in found.items()}
