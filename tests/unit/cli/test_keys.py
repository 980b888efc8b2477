"""`cmfm-worker keys`: makes a pair, says which file goes where, and never replaces a file."""

from pathlib import Path

import pytest
import zmq
from tests.unit.made.dataset import run

from cmfm_protocol.files.key_files import read_pair, read_public
from cmfm_worker.settings.load import load_settings


def test_pair_is_made_and_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It makes a secret file for its owner alone and a public one, and says where each goes."""
    assert run("keys", "new", "--out", tmp_path / "keys", "--name", "plc1") == 0
    said = capsys.readouterr().out
    pair = read_pair(tmp_path / "keys" / "plc1.key_secret")
    assert read_public(tmp_path / "keys" / "plc1.key") == pair.public == zmq.curve_public(pair.secret)
    assert pair.secret.decode() not in said
    for word in ("plc1.key_secret", "SECRET", "secret_key", "readers", "controllers", "cameras"):
        assert word in said


def test_pairs_differ(tmp_path: Path) -> None:
    """Two runs never make the same key."""
    for name in ("a", "b"):
        assert run("keys", "new", "--out", tmp_path, "--name", name) == 0
    assert read_public(tmp_path / "a.key") != read_public(tmp_path / "b.key")


def test_nothing_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run with the same name ends with 2 and leaves both files as they are."""
    assert run("keys", "new", "--out", tmp_path, "--name", "plc1") == 0
    before = (tmp_path / "plc1.key_secret").read_bytes()
    assert run("keys", "new", "--out", tmp_path, "--name", "plc1") == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "plc1.key_secret").read_bytes() == before


def test_printed_settings_work_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The printed lines can be pasted into line.toml."""
    assert run("keys", "new", "--out", tmp_path, "--name", "worker") == 0
    said = capsys.readouterr().out
    secret = next(line.split("[curve] ")[1] for line in said.splitlines() if "secret_key =" in line)
    cameras = next(line.split("[curve] ")[1] for line in said.splitlines() if "cameras =" in line)
    (tmp_path / "line.toml").write_text(
        f'[sockets]\nframes = ["tcp://CAMERA:5555"]\n[curve]\n{secret}\n{cameras}\n'
    )
    curve = load_settings(tmp_path / "line.toml").curve
    assert curve.secret_key == tmp_path / "worker.key_secret"
    assert curve.cameras == {"tcp://CAMERA:5555": tmp_path / "worker.key"}


@pytest.mark.parametrize("suffix", ["key", "key_secret"])
def test_show_prints_the_public_key_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    """Either file gives the public key, as the log's `key=` has it; the secret one is not printed."""
    assert run("keys", "new", "--out", tmp_path, "--name", "plc1") == 0
    capsys.readouterr()
    assert run("keys", "show", tmp_path / f"plc1.{suffix}") == 0
    assert capsys.readouterr().out.strip().encode() == read_public(tmp_path / "plc1.key")


def test_check_tells_of_bad_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`cmfm-worker check` names a key file that would keep the line from starting."""
    assert run("keys", "new", "--out", tmp_path, "--name", "worker") == 0
    (tmp_path / "worker.key_secret").chmod(0o644)
    (tmp_path / "line.toml").write_text('[curve]\nsecret_key = "worker.key_secret"\n')
    capsys.readouterr()
    assert run("check", "--config", tmp_path / "line.toml", "--json") == 2
    assert "chmod 600" in capsys.readouterr().out
