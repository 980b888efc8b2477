"""Key files: made once, secret for their owner alone, refused where they are not what they should be."""

import os
from pathlib import Path

import pytest
import zmq
import zmq.auth

from cmfm_protocol.files.key_files import (
    KeyFileError,
    KeyPair,
    read_allowed,
    read_pair,
    read_public,
    write_pair,
)


@pytest.fixture
def pair() -> KeyPair:
    """A new key pair."""
    return KeyPair(*zmq.curve_keypair())


def test_files_are_those_of_zmq_auth(tmp_path: Path, pair: KeyPair) -> None:
    """pyzmq's own reader takes our files, and we take those that pyzmq writes."""
    secret, public = write_pair(tmp_path / "keys", "plc1", pair)
    assert zmq.auth.load_certificate(secret) == (pair.public, pair.secret)
    assert zmq.auth.load_certificate(public) == (pair.public, None)
    assert read_pair(secret) == pair
    assert read_public(public) == pair.public
    theirs_public, theirs_secret = zmq.auth.create_certificates(tmp_path, "theirs")
    Path(theirs_secret).chmod(0o600)
    assert read_pair(Path(theirs_secret)).public == read_public(Path(theirs_public))


def test_secret_is_its_owners_whatever_the_umask(tmp_path: Path, pair: KeyPair) -> None:
    """Mode 0600 from the start; the public file can be read by all."""
    before = os.umask(0)
    try:
        secret, public = write_pair(tmp_path, "plc1", pair)
    finally:
        os.umask(before)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert public.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("there", ["plc1.key", "plc1.key_secret"])
def test_no_key_is_replaced(tmp_path: Path, pair: KeyPair, there: str) -> None:
    """A file of that name, even a dangling link, keeps both from being written."""
    (tmp_path / there).symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeyFileError, match="exists already"):
        write_pair(tmp_path, "plc1", pair)
    assert [entry.name for entry in tmp_path.iterdir()] == [there]


@pytest.mark.parametrize("name", ["", "..", "a.", ".a", "a/b", "/etc/x", "ä", "x" * 65])
def test_name_is_no_path(tmp_path: Path, pair: KeyPair, name: str) -> None:
    """The name of a pair cannot lead out of the folder."""
    with pytest.raises(KeyFileError, match="a name has 1 to 64"):
        write_pair(tmp_path, name, pair)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_secret_that_others_can_reach_is_refused(tmp_path: Path, pair: KeyPair, mode: int) -> None:
    """The error names the file and the command that mends it."""
    secret, _ = write_pair(tmp_path, "worker", pair)
    secret.chmod(mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 {secret}"):
        read_pair(secret)


def test_secret_key_given_as_public_is_refused(tmp_path: Path, pair: KeyPair) -> None:
    """A secret key in the folder of public keys is refused with a message, and admits nobody."""
    secret, _ = write_pair(tmp_path / "own", "plc1", pair)
    with pytest.raises(KeyFileError, match="never leaves its owner"):
        read_public(secret)
    readers = tmp_path / "readers"
    readers.mkdir()
    secret.rename(readers / "plc1.key")
    allowed, problems = read_allowed(readers)
    assert allowed == {}
    assert "plc1.key" in problems[0]


@pytest.mark.parametrize(
    "text", ["", "hello", 'public-key = "tooshort"', '# public-key = "' + "a" * 40 + '"', "\x00\xff"]
)
def test_what_is_no_certificate_is_refused(tmp_path: Path, text: str) -> None:
    """Every other file is an error that names it, never a key."""
    path = tmp_path / "x.key"
    path.write_text(text)
    with pytest.raises(KeyFileError, match=str(path)):
        read_public(path)


def test_public_file_as_own_key_is_refused(tmp_path: Path, pair: KeyPair) -> None:
    """The error names the file."""
    _, public = write_pair(tmp_path, "worker", pair)
    public.chmod(0o600)
    with pytest.raises(KeyFileError, match=r"\.key_secret"):
        read_pair(public)


def test_secret_does_not_show_in_logs(pair: KeyPair) -> None:
    """A pair that is printed shows its public half alone."""
    assert pair.secret.decode() not in f"{pair} {pair!r}"
    assert pair.public.decode() in repr(pair)


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    """A folder that is not there is an error, not an empty list."""
    with pytest.raises(KeyFileError, match="No such file"):
        read_allowed(tmp_path / "readers")


def test_pipe_among_the_keys_is_a_problem_of_its_own(tmp_path: Path, pair: KeyPair) -> None:
    """Reading it would wait for ever, and nobody could connect any more."""
    write_pair(tmp_path, "plc1", pair)
    os.mkfifo(tmp_path / "pipe.key")
    allowed, problems = read_allowed(tmp_path)
    assert list(allowed.values()) == ["plc1"]
    assert problems == [f"{tmp_path}/pipe.key: this key file is no file"]
