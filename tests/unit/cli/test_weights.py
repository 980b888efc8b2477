"""`cmfm-worker weights`: what is needed, what is there, fetching and converting."""

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
    """Serves CONTENT under /whole, half of it under /torn, less than it says under /broken, and nothing else."""

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
    """The address of a running file server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), FileHost) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def published(url: str, sha256: str = "", size_bytes: int | None = len(CONTENT)) -> PublishedFile:
    return PublishedFile("Test", url, "test.pth", size_bytes, sha256)


def test_list_says_what_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`list` names every file with size, address and hash as far as known, and with a folder what is missing in it."""
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
    """`check` names the missing file and the one of another architecture, both at once, exit code 2."""
    torch.save({"some.weight": torch.zeros(2)}, tmp_path / "pointmae_pretrain.pth")
    assert run("weights", "check", "--weights", tmp_path) == 2
    message = capsys.readouterr().err
    assert "no dino weights" in message
    assert "pointmae_pretrain.pth" in message
    assert "keys are missing" in message


def test_converted_weights_keep_their_identity(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`convert` writes a twin with which recipes taught on the original keep working."""
    monkeypatch.setattr("cmfm_worker.recipes.published_weights.require_architecture", lambda *_: None)
    source = tmp_path / "dino_vitbase8_pretrain.pth"
    torch.save({"cls_token": torch.ones(1, 1, 4)}, source)
    assert run("weights", "convert", "--weights", tmp_path, "--which", "dino") == 0
    twin = tmp_path / "dino_vitbase8_pretrain.safetensors"
    assert str(twin) in capsys.readouterr().err
    assert weights_identity(twin) == weights_identity(source)
    assert run("weights", "convert", "--weights", tmp_path, "--which", "dino") == 0
    assert "already" in capsys.readouterr().err


def test_convert_refuses_another_architecture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`convert` does not turn a wrong file into a wrong file of another format."""
    torch.save({"cls_token": torch.ones(1, 1, 4)}, tmp_path / "dino_vitbase8_pretrain.pth")
    assert run("weights", "convert", "--weights", tmp_path, "--which", "dino") == 2
    assert "keys are missing" in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 1


def test_download_is_checked_and_whole(server: str, tmp_path: Path) -> None:
    """A file of the right size and hash arrives under its own name, and progress reaches its end."""
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
    """What is torn, too long, of another hash or not there is refused by address; no file is left."""
    with pytest.raises(InputError, match=named) as caught:
        download(published(f"{server}/{path}", sha256), tmp_path, lambda *_: None)
    assert f"{server}/{path}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_no_network_says_what_to_do(tmp_path: Path) -> None:
    """Where nothing answers, the message says which file to put where."""
    with pytest.raises(InputError, match=r"download it elsewhere \(1,280,000 bytes\).*test\.pth"):
        download(published("http://127.0.0.1:9/nothing"), tmp_path, lambda *_: None)


def test_without_a_size_on_record_the_servers_is_taken(server: str, tmp_path: Path) -> None:
    """A file of unknown size arrives whole; one that breaks off before the size that was announced is refused."""
    path, digest = download(published(f"{server}/whole", size_bytes=None), tmp_path, lambda *_: None)
    assert (path.read_bytes(), digest) == (CONTENT, hashlib.sha256(CONTENT).hexdigest())
    path.unlink()
    with pytest.raises(InputError, match=r"/broken: "):
        download(published(f"{server}/broken", size_bytes=None), tmp_path, lambda *_: None)
    assert list(tmp_path.iterdir()) == []


def test_any_vision_transformer_of_timm_is_checked_and_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model by timm's name: its whole file is checked, its twin keeps the identity; another's is refused."""
    from cmfm_worker.cfm.image.features import published_shapes

    tiny = "vit_tiny_patch16_224.augreg_in21k"
    state = {key: torch.zeros(shape) for key, shape in published_shapes(12, tiny).items()}
    torch.save(state, tmp_path / f"{tiny}.pth")
    assert run("weights", "check", "--weights", tmp_path, "--which", tiny) == 0
    assert "UNKNOWN" in capsys.readouterr().out
    assert run("weights", "convert", "--weights", tmp_path, "--which", tiny) == 0
    twin = tmp_path / f"{tiny}.safetensors"
    assert weights_identity(twin) == weights_identity(tmp_path / f"{tiny}.pth")
    twin.unlink()
    del state["blocks.11.mlp.fc2.bias"]
    torch.save(state, tmp_path / f"{tiny}.pth")
    assert run("weights", "check", "--weights", tmp_path, "--which", tiny) == 2
    assert "blocks.11.mlp.fc2.bias" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "convert", "fetch"])
def test_what_is_no_extractor_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped name is answered with those that there are."""
    assert run("weights", command, "--weights", tmp_path, "--which", "pointnet") == 2
    assert "'pointnet' is not an image extractor: expected dino, dinov2, sam, clip" in capsys.readouterr().err
