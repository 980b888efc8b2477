"""Users: hashed passwords in a file, roles, and a brake on guessing."""

import stat
from pathlib import Path

import pytest

from cmfm_gateway.errors import InputError
from cmfm_gateway.opcua.users import LoginLimit, make_user, read_users, write_users


def test_the_file_holds_no_password_and_is_its_owners_alone(tmp_path: Path) -> None:
    """A file that is read back knows the right password from a wrong one."""
    path = tmp_path / "users"
    write_users(path, {"plc": make_user("plc", "control", "correct horse")})
    assert "correct" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    user = read_users(path)["plc"]
    assert user.role == "control"
    assert user.has_password("correct horse")
    assert not user.has_password("correct horsf")
    assert make_user("plc", "control", "correct horse").hashed != user.hashed


@pytest.mark.parametrize(
    ("name", "password", "expected"),
    [("a b", "longenough", "name"), ("a", "short", "8 to 256"), ("a:b", "longenough", "name")],
)
def test_names_and_passwords_that_cannot_be_used(name: str, password: str, expected: str) -> None:
    """The message says what is allowed."""
    with pytest.raises(InputError, match=expected):
        make_user(name, "view", password)


@pytest.mark.parametrize(
    "line", ["plc", "plc:root:16384:8:1:AA==:AA==", "plc:view:16384:8:1:?:AA==", "plc:view:3:8:1:AA==:AA=="]
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    """File and line number."""
    path = tmp_path / "users"
    path.write_text(f"# users\n{line}\n")
    with pytest.raises(InputError, match="line 2"):
        read_users(path)


def test_guessing_is_slowed_for_the_client_that_guesses() -> None:
    """Others go on; after the pause it may try again."""
    now_s = [0.0]
    limit = LoginLimit(lambda: now_s[0])
    for _ in range(limit.FAILURES):
        assert limit.allows(b"a")
        limit.note(b"a", right=False)
    assert not limit.allows(b"a")
    assert limit.allows(b"b")
    now_s[0] = limit.PAUSE_S + 1
    assert limit.allows(b"a")
    limit.note(b"a", right=True)
    assert limit.allows(b"a")
