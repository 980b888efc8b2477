"""`cmfm-worker weights`: what is needed, what is there, fetching and converting."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from cmfm_worker.cfm.weights import weights_identity
from cmfm_worker.errors import InputError
from cmfm_worker.published_weights import PUBLISHED, PublishedFile, download

from .made_dataset import run

CONTENT = bytes(range(256)) * 5000


class Shelf(BaseHTTPRequestHandler):
    """Serves CONTENT under /whole, the first half of it under /torn, and nothing else."""

    def do_GET(self) -> None:
        bodies = {"/whole": CONTENT, "/torn": CONTENT[: len(CONTENT) // 2], "/endless": CONTENT * 3}
        body = bodies.get(self.path)
        self.send_response(200 if body else 404)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a running file server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Shelf) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def published(url: str, sha256: str = "") -> PublishedFile:
    return PublishedFile("Test", url, "test.pth", len(CONTENT), sha256)


def test_list_says_what_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`list` names both files with size, address and hash, and with a folder what is missing in it."""
    assert run("weights", "list", "--weights", tmp_path) == 0
    shown = capsys.readouterr().out
    for kind in PUBLISHED.values():
        assert kind.url in shown
        assert f"{kind.size_bytes:,}" in shown
    assert "27ded932bb0a2625d5a8eb006df199b2578598c774aee6d86b985300b6a5fd20" in shown
    assert "no dino weights in" in shown


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
    monkeypatch.setattr("cmfm_worker.published_weights.require_architecture", lambda *_: None)
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
    seen: list[tuple[int, int]] = []
    path, found = download(
        published(f"{server}/whole", digest), tmp_path / "w", lambda done, all_: seen.append((done, all_))
    )
    assert found == digest
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [p.name for p in (tmp_path / "w").iterdir()] == ["test.pth"]


@pytest.mark.parametrize(
    ("path", "sha256", "named"),
    [
        ("torn", "", "640,000 bytes came"),
        ("endless", "", "over 1,280,000 bytes came"),
        ("whole", "0" * 64, "is not that of the published file"),
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
    with pytest.raises(InputError, match=r"fetch it elsewhere \(1,280,000 bytes\).*test\.pth"):
        download(published("http://127.0.0.1:9/nothing"), tmp_path, lambda *_: None)
