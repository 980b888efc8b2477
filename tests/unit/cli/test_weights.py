"""`cmfm-worker weights` lists, downloads, checks and converts extractor weights."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from tests.unit.made.dataset import run

from cmfm_worker.cfm.weights import weights_identity
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.published_weights import PUBLISHED, PublishedFile
from cmfm_worker.recipes.weights_download import download

CONTENT = bytes(range(256)) * 5000


class FileHost(BaseHTTPRequestHandler):
    """Serves CONTENT under /whole, half of it under /torn, three times of it under /endless, and under /broken less
    than it announces."""

    def do_GET(self) -> None:
        bodies = {
            "/whole": CONTENT,
            "/torn": CONTENT[: len(CONTENT) // 2],
            "/endless": CONTENT * 3,
            "/broken": CONTENT[:9],
        }
        body = bodies.get(self.path)
        self.send_response(200 if body else 404)
        if self.path == "/broken":  # says more than it sends
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """Yield the address of a running file server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), FileHost) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def published(url: str, sha256: str = "", size_bytes: int | None = len(CONTENT)) -> PublishedFile:
    return PublishedFile("Test", url, "test.pth", size_bytes, sha256)


def test_list_names_the_needed_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`list` names every file with address, known size and known hash; with a folder also the missing files."""
    assert run("weights", "list", "--weights", tmp_path) == 0
    shown = capsys.readouterr().out
    for kind in PUBLISHED.values():
        assert kind.url in shown
        assert kind.size_bytes is None or f"{kind.size_bytes:,}" in shown
    assert "27ded932bb0a2625d5a8eb006df199b2578598c774aee6d86b985300b6a5fd20" in shown
    assert "no dino weights in" in shown
    assert "vit_base_patch16_clip_quickgelu_224.openai.safetensors" in shown
    assert "none on record" in shown


def test_check_names_everything_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` names a missing file and one of another architecture at once and exits with code 2."""
    torch.save({"some.weight": torch.zeros(2)}, tmp_path / "pointmae_pretrain.pth")
    assert run("weights", "check", "--weights", tmp_path) == 2
    message = capsys.readouterr().err
    assert "no dino weights" in message
    assert "pointmae_pretrain.pth" in message
    assert "keys are missing" in message


def test_convert_refuses_another_architecture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`convert` refuses a file of another architecture and writes nothing."""
    torch.save({"cls_token": torch.ones(1, 1, 4)}, tmp_path / "dino_vitbase8_pretrain.pth")
    assert run("weights", "convert", "--weights", tmp_path, "--which", "dino") == 2
    assert "keys are missing" in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 1


def test_download_is_checked_and_whole(server: str, tmp_path: Path) -> None:
    """A file of the right size and hash appears under its own name, and progress reaches its end."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    seen: list[tuple[str, int, int]] = []
    path, found = download(
        published(f"{server}/whole", digest), tmp_path / "w", lambda *call: seen.append(call)
    )
    assert found == digest
    assert path.read_bytes() == CONTENT
    assert seen[-1] == ("fetch", len(CONTENT), len(CONTENT))
    assert [p.name for p in (tmp_path / "w").iterdir()] == ["test.pth"]


@pytest.mark.parametrize(
    ("path", "sha256", "named"),
    [
        ("torn", "", "received 640,000 bytes"),
        ("endless", "", "received over 1,280,000 bytes"),
        ("whole", "0" * 64, "is not the published file's"),
        ("gone", "", "Not Found"),
    ],
)
def test_bad_downloads_leave_nothing(server: str, tmp_path: Path, path: str, sha256: str, named: str) -> None:
    """A short, long, missing or different file is refused by its address, and no file is left."""
    with pytest.raises(InputError, match=named) as caught:
        download(published(f"{server}/{path}", sha256), tmp_path, lambda *_: None)
    assert f"{server}/{path}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_the_message_says_what_to_do(tmp_path: Path) -> None:
    """If the server cannot be reached, the message says which file to put where."""
    with pytest.raises(InputError, match=r"download it elsewhere \(1,280,000 bytes\).*test\.pth"):
        download(published("http://127.0.0.1:9/nothing"), tmp_path, lambda *_: None)


def test_without_a_size_on_record_the_servers_is_taken(server: str, tmp_path: Path) -> None:
    """A file of unknown size arrives whole; one that ends before the announced size is refused."""
    path, digest = download(published(f"{server}/whole", size_bytes=None), tmp_path, lambda *_: None)
    assert (path.read_bytes(), digest) == (CONTENT, hashlib.sha256(CONTENT).hexdigest())
    path.unlink()
    with pytest.raises(InputError, match=r"/broken: "):
        download(published(f"{server}/broken", size_bytes=None), tmp_path, lambda *_: None)
    assert list(tmp_path.iterdir()) == []


def test_any_vision_transformer_of_timm_is_checked_and_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` loads the whole file of a model by timm's name and refuses an incomplete one. `convert` writes a copy
    with the identity of the original, so that recipes taught on that keep working, and does it once."""
    from cmfm_worker.cfm.image.features import published_shapes

    tiny = "vit_tiny_patch16_224.augreg_in21k"
    state = {key: torch.zeros(shape) for key, shape in published_shapes(12, tiny).items()}
    torch.save(state, tmp_path / f"{tiny}.pth")
    assert run("weights", "check", "--weights", tmp_path, "--which", tiny) == 0
    assert "UNKNOWN" in capsys.readouterr().out
    assert run("weights", "convert", "--weights", tmp_path, "--which", tiny) == 0
    copy = tmp_path / f"{tiny}.safetensors"
    assert str(copy) in capsys.readouterr().err
    assert weights_identity(copy) == weights_identity(tmp_path / f"{tiny}.pth")
    assert run("weights", "convert", "--weights", tmp_path, "--which", tiny) == 0
    assert "already" in capsys.readouterr().err
    copy.unlink()
    del state["blocks.11.mlp.fc2.bias"]
    torch.save(state, tmp_path / f"{tiny}.pth")
    assert run("weights", "check", "--weights", tmp_path, "--which", tiny) == 2
    assert "blocks.11.mlp.fc2.bias" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "convert", "fetch"])
def test_unknown_extractor_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error for a mistyped name lists the known names."""
    assert run("weights", command, "--weights", tmp_path, "--which", "pointnet") == 2
    assert "'pointnet' is not an image extractor: expected dino, dinov2, sam, clip" in capsys.readouterr().err
