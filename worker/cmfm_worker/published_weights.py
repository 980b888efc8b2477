"""The extractor weights as they are published: where, how large, with which sha256; fetched and checked."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from cmfm_worker.cfm.image_features import load_image_encoder
from cmfm_worker.cfm.point_features import load_point_encoder
from cmfm_worker.cfm.weights import KNOWN_HASHES, KNOWN_SIZES, Kind, sha256_file
from cmfm_worker.errors import InputError

TIMEOUT_S: Final = 30.0
"""Without a byte for so long, a download has failed."""

CHUNK_BYTES: Final = 1 << 20
ALL_BLOCKS: Final = 12

Progress = Callable[[int, int], None]
"""Called with the bytes that have come and those there are."""


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A weights file as published; `sha256` "" where none is on record."""

    title: str
    url: str
    name: str
    size_bytes: int
    sha256: str


def _recorded(kind: Kind) -> str:
    return next((digest for digest, of in KNOWN_HASHES.items() if of == kind), "")


PUBLISHED: Final[Mapping[Kind, PublishedFile]] = {
    "dino": PublishedFile(
        "DINO ViT-B/8 (2D)",
        "https://dl.fbaipublicfiles.com/dino/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth",
        "dino_vitbase8_pretrain.pth",
        KNOWN_SIZES["dino"],
        _recorded("dino"),
    ),
    "pointmae": PublishedFile(
        "Point-MAE (3D)",
        "https://github.com/Pang-Yatian/Point-MAE/releases/download/main/pretrain.pth",
        "pointmae_pretrain.pth",
        KNOWN_SIZES["pointmae"],
        _recorded("pointmae"),
    ),
}


def require_architecture(path: Path, kind: Kind) -> None:
    """Raise WeightsError naming file and key unless the file holds the whole encoder of its kind."""
    (load_image_encoder if kind == "dino" else load_point_encoder)(path, ALL_BLOCKS)


def download(published: PublishedFile, folder: Path, progress: Progress) -> tuple[Path, str]:
    """Fetch a file into `folder`; its path and sha256. It appears whole and checked or not at all.

    Raises InputError saying what to do where the network does not allow it, or what came is not the
    published file.
    """
    target = folder / published.name
    partial = folder / f"{published.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _receive(published, partial, progress)
        digest = _checked(published, partial)
        partial.replace(target)
    except (HTTPError, URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(error, HTTPError):
            error.close()  # it holds the server's answer, a socket
        raise InputError(
            f"{published.url}: cannot be fetched ({reason}); fetch it elsewhere "
            f"({published.size_bytes:,} bytes) and put it into {folder} as {published.name}"
        ) from error
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
    return target, digest


def _receive(published: PublishedFile, partial: Path, progress: Progress) -> None:
    request = Request(published.url, headers={"User-Agent": "cmfm-worker"})  # noqa: S310 (https, from the table above)
    response: HTTPResponse
    with urlopen(request, timeout=TIMEOUT_S) as response, partial.open("wb") as file:  # noqa: S310 (the same)
        received = 0
        while chunk := response.read(CHUNK_BYTES):
            received += file.write(chunk)
            if received > published.size_bytes:
                return  # not the published file, however long it goes on; the check below says so
            progress(received, published.size_bytes)
        os.fsync(file.fileno())


def _checked(published: PublishedFile, path: Path) -> str:
    size = path.stat().st_size
    if size != published.size_bytes:
        got = f"over {published.size_bytes:,}" if size > published.size_bytes else f"{size:,}"
        raise InputError(
            f"{published.url}: {got} bytes came, the published file has {published.size_bytes:,}"
        )
    digest = sha256_file(path)
    if published.sha256 and digest != published.sha256:
        raise InputError(
            f"{published.url}: sha256 {digest} is not that of the published file, {published.sha256}"
        )
    return digest
