"""The check of permissions: secrets that others can read, folders of another user, limits that are too low."""

import os
from pathlib import Path

import pytest
import zmq
from tests.unit.made.examined import outcomes, said, settings, visit

from cmfm_protocol.files.key_files import KeyPair, write_pair
from cmfm_worker.doctor.check_permissions import (
    Identity,
    ProcessLimits,
    check_permissions,
    folder_findings,
    limit_findings,
    may_write,
    secret_files,
    secret_findings,
)
from cmfm_worker.doctor.check_settings import check_settings
from cmfm_worker.doctor.findings import Outcome
from cmfm_worker.doctor.processes import LockHolder
from cmfm_worker.doctor.visit import OtherProgram, RunningWorker

NOBODY = Identity(65534, frozenset({65534}), "nobody")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A secret key file."""
    for folder in ("readers", "controllers"):
        (tmp_path / folder).mkdir()
    return write_pair(tmp_path, "worker", KeyPair(*zmq.curve_keypair()))[0]


def test_secret_key_of_mode_644_is_to_do(tmp_path: Path, key: Path) -> None:
    """The worker would refuse it at the start, and others may have read it."""
    curve = {"secret_key": key, "readers": tmp_path / "readers", "controllers": tmp_path / "controllers"}
    line = visit(tmp_path, settings=settings(tmp_path, curve=curve))
    assert "a secret with mode" not in said(check_permissions(line), Outcome.TO_DO)
    assert not said(check_settings(line, {}), Outcome.TO_DO)
    key.chmod(0o644)
    told = said(check_permissions(line), Outcome.TO_DO)
    assert f"{key}: a secret with mode 0644" in told
    assert f"chmod 600 {key}" in told
    assert "chmod 600" in said(check_settings(line, {}), Outcome.TO_DO)


def test_secrets_of_gateway_and_page_are_looked_at(tmp_path: Path) -> None:
    """Password files, private keys and the file of users."""
    names = ("password_file", "key_file", "private_key", "users", "secret")
    for name in names:
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o640)
    values = {"mqtt": {name: str(tmp_path / name) for name in names}}
    found = check_permissions(visit(tmp_path, others=(OtherProgram("cmfm-gateway", tmp_path, values),)))
    assert said(found, Outcome.TO_DO).count("mode 0640") == len(names)


def test_secrets_that_are_not_there_are_left_to_the_settings(tmp_path: Path) -> None:
    """Some are made at the first start."""
    assert secret_findings(list(secret_files({"access": {"users": str(tmp_path / "none")}}))) == []


@pytest.mark.parametrize(
    ("mode", "owner", "allowed"),
    [
        (0o755, NOBODY.uid, True),
        (0o755, 1, False),
        (0o777, 1, True),
        (0o555, NOBODY.uid, False),
        (0o666, 1, False),
    ],
)
def test_who_may_write_a_folder(mode: int, owner: int, allowed: bool) -> None:
    """By owner, group and mode, also of a user who does not run the command."""
    status = os.stat_result((mode, 0, 0, 0, owner, 1, 0, 0, 0, 0))
    assert may_write(status, NOBODY) is allowed
    group = os.stat_result((0o770, 0, 0, 0, 1, NOBODY.uid, 0, 0, 0, 0))
    assert may_write(group, NOBODY)


def test_folder_of_another_user_is_to_do(tmp_path: Path) -> None:
    """The worker's user could not write its ledger there; the nearest folder that exists counts."""
    tmp_path.chmod(0o700)
    found = folder_findings({"[ledger] path": tmp_path / "new" / "ledger"}, NOBODY)
    assert f"chown -R the folder {tmp_path}" in said(found, Outcome.TO_DO)
    assert outcomes(
        folder_findings({"[ledger] path": tmp_path}, Identity(os.getuid(), frozenset(), "me"))
    ) == [Outcome.GOOD]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (ProcessLimits(64, None, 0, "test"), "64 open files are allowed"),
        (ProcessLimits(None, 8_000_000, 0, "test"), "8 MB of locked memory"),
        (ProcessLimits(None, None, 5, "test"), "niceness 5"),
    ],
)
def test_limits_that_are_too_low(tmp_path: Path, limits: ProcessLimits, words: str) -> None:
    """Each is named with what to set."""
    assert words in said(limit_findings(settings(tmp_path), limits, cuda=True), Outcome.TO_DO)


def test_locked_memory_matters_on_cuda_alone(tmp_path: Path) -> None:
    """On a CPU the ring is not page-locked."""
    few = ProcessLimits(None, 8_000_000, 0, "test")
    assert outcomes(limit_findings(settings(tmp_path), few, cuda=False)) == [Outcome.GOOD]


def test_limits_are_those_of_the_running_worker(tmp_path: Path) -> None:
    """Not those of the shell in which the command runs."""
    worker = RunningWorker(LockHolder(os.getpid(), ""), None)
    found = check_permissions(visit(tmp_path, worker=worker))
    assert any(f"running worker, pid {os.getpid()}" in each.seen for each in found)
