"""Security of the page: logins, sessions, forms, sizes, names, and the line of the PLC."""

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.made.page import HTML, PASSWORD, USERS, page_client, page_settings

from cmfm_hmi.errors import InputError, PageError
from cmfm_hmi.pages.login import local_path
from cmfm_hmi.security.headers import CONTENT_SECURITY_POLICY
from cmfm_hmi.security.lock import LineLock
from cmfm_hmi.security.logins import Logins
from cmfm_hmi.security.secret import read_or_make_secret
from cmfm_hmi.security.users import Users
from cmfm_hmi.settings.load import load_with_sources
from cmfm_settings.users import LoginLimit, make_user, write_users


def test_a_login_opens_pages_of_its_role_alone(tmp_path: Path) -> None:
    """An operator sees the trace; a viewer gets 403 and the role that is needed."""
    with page_client(tmp_path) as client:
        assert client.log_in("operate").status_code == 303
        assert client.get("/audit").status_code == 200
    with page_client(tmp_path) as client:
        client.log_in("view")
        refused = client.get("/audit")
        assert refused.status_code == 403
        assert "operate" in refused.text


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(tmp_path: Path) -> None:
    """HttpOnly and SameSite=Strict always, Secure with TLS; a changed cookie is nobody's."""
    with page_client(tmp_path) as client:
        cookie = client.log_in("teach").headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        value = client.http.cookies[client.site.sessions.cookie_name]
        client.http.cookies.clear()
        client.http.cookies.set(client.site.sessions.cookie_name, value)
        assert client.http.get("/audit").status_code == 200
        client.http.cookies.clear()
        client.http.cookies.set(
            client.site.sessions.cookie_name, value[:-2] + ("AA" if value[-2:] != "AA" else "BB")
        )
        assert client.http.get("/audit").status_code == 401


def test_a_session_ends_with_its_password_its_user_its_logout(tmp_path: Path) -> None:
    """A new password, a removed user and a logout each end it, also for who has kept the cookie."""
    with page_client(tmp_path) as client:
        users = client.site.settings.access.users
        for after in ({**USERS, "teach": make_user("teach", "teach", "another password")}, {}):
            write_users(users, USERS)
            assert client.log_in("teach").status_code == 303
            assert client.http.get("/audit").status_code == 200
            write_users(users, after)
            assert client.http.get("/audit").status_code == 401
        write_users(users, USERS)
        client.log_in("teach")
        kept = client.http.cookies[client.site.sessions.cookie_name]
        client.post("/logout", headers=HTML)
        client.http.cookies.set(client.site.sessions.cookie_name, kept)
        assert client.http.get("/audit").status_code == 401
    with page_client(tmp_path) as client:  # started again
        client.http.cookies.set(client.site.sessions.cookie_name, kept)
        assert client.http.get("/audit").status_code == 401


def test_a_role_is_taken_from_the_file_at_each_request(tmp_path: Path) -> None:
    """Who is made a viewer may not operate any more, without logging in again."""
    with page_client(tmp_path) as client:
        client.log_in("operate")
        user = USERS["operate"]
        demoted = type(user)("operate", "view", user.cost, user.salt, user.hashed)
        write_users(client.site.settings.access.users, {"operate": demoted})
        assert client.http.get("/audit").status_code == 403


def test_a_form_without_its_token_changes_nothing(tmp_path: Path) -> None:
    """No token, another session's token: 403. The right one in a header or in the form: done."""
    settings = page_settings(
        tmp_path, access={"plc_owns_line": True, "takeover": str(tmp_path / "takeover.json")}
    )
    with page_client(tmp_path, settings) as client, page_client(tmp_path, settings) as other:
        client.log_in("operate")
        for token in ("", other.csrf(), "é"):
            refused = client.http.post("/take-over", data={"csrf": token})
            assert refused.status_code == 403
            assert not (tmp_path / "takeover.json").exists()
        by_header = client.http.post("/take-over", headers={"X-CSRF-Token": client.csrf()})
        assert by_header.status_code == 200
        assert (tmp_path / "takeover.json").exists()


@pytest.mark.parametrize("length", ["70000", "2000000000", "-1", "nonsense"])
def test_a_body_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path, length: str) -> None:
    """413 from the announced length alone, also for strangers."""
    with page_client(tmp_path) as client:
        headers = {"Content-Length": length, "Content-Type": "application/x-www-form-urlencoded"}
        refused = client.http.post("/login", content=b"name=a", headers=headers)
        assert refused.status_code == 413


def test_a_body_without_a_length_is_counted_while_it_is_read(tmp_path: Path) -> None:
    """A chunked body of 10 MB is refused after 64 KB."""
    with page_client(tmp_path) as client:
        taken = 0

        def chunks() -> Iterator[bytes]:
            nonlocal taken
            for _ in range(1000):
                taken += 1
                yield b"a=" + b"b" * 10_000 + b"&"

        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-CSRF-Token": client.csrf()}
        refused = client.http.post("/login", content=chunks(), headers=headers)
        assert refused.status_code == 413


def test_wrong_passwords_close_the_door_for_a_while(tmp_path: Path) -> None:
    """After five the right one is not even looked at; half a minute later it is."""
    with page_client(tmp_path) as client:
        for _ in range(5):
            assert client.log_in("teach", "wrong password").status_code == 401
        closed = client.log_in("teach", PASSWORD)
        assert closed.status_code == 401
        assert "half a minute" in closed.text


@pytest.mark.parametrize("names", [["teach"] * 5, ["a", "b", "c", "d", "e"]])
def test_guessing_is_slowed_by_name_and_by_address(tmp_path: Path, names: list[str]) -> None:
    """Five guesses at one name, or at five, from one address: both are closed out. Another address may try another."""

    async def scenario() -> None:
        users = tmp_path / "users"
        write_users(users, USERS)
        logins = Logins(Users(users))
        for number, name in enumerate(names):
            peer = f"10.0.0.{number}" if len(set(names)) == 1 else "10.0.0.1"
            assert await logins.check(name, "wrong password", peer) is None
        closed = ("teach", "10.0.0.99") if len(set(names)) == 1 else ("teach", "10.0.0.1")
        assert await logins.check(closed[0], PASSWORD, closed[1]) is None
        assert await logins.check("operate", PASSWORD, "10.0.0.98") is not None

    asyncio.run(scenario())


def test_the_limit_forgets_old_failures_and_never_grows() -> None:
    """Failures of many addresses cost bounded memory; a pause opens the door again."""
    now = 0.0
    limit = LoginLimit(lambda: now)
    for client in range(limit.CLIENTS + 50):
        limit.note(client, right=False)
    assert len(limit._failed) == limit.CLIENTS
    for _ in range(limit.FAILURES):
        limit.note("peer", right=False)
    assert not limit.allows("peer")
    now = limit.PAUSE_S + 1
    assert limit.allows("peer")


def test_unknown_names_are_refused_like_wrong_passwords(tmp_path: Path) -> None:
    """The same words for both: no answer tells who exists. What is asked for is hashed either way."""
    with page_client(tmp_path) as client:
        unknown, wrong = client.log_in("nobody", PASSWORD), client.log_in("teach", "wrong password")
        for answer in (unknown, wrong):
            assert answer.status_code == 401
            assert "Name or password is wrong." in answer.text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/rejects?since=1h", "/rejects?since=1h"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("", "/"),
    ],
)
def test_the_login_leads_to_our_own_pages_alone(path: str, expected: str) -> None:
    """An address from elsewhere is replaced by the live page."""
    assert local_path(path) == expected


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("192.168.3.4:8080", 200),
        ("line1.factory", 200),
        ("LINE1.factory.:8080", 200),
        ("evil.example", 421),
        ("", 421),
        ("localhost.evil.example", 421),
    ],
)
def test_a_name_that_is_not_ours_is_refused(tmp_path: Path, host: str, status: int) -> None:
    """A page elsewhere cannot point its own name at this one (DNS rebinding)."""
    with page_client(tmp_path, page_settings(tmp_path, page={"names": ["line1.factory"]})) as client:
        assert client.http.get("/login", headers={"Host": host, **HTML}).status_code == status


def test_the_policy_lets_nothing_from_outside_in() -> None:
    """No inline script, no inline style, no eval, no frame, no other origin."""
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('[page]\nhost = "0.0.0.0"', "can be reached from other hosts"),
        ('[page]\nhost = "0.0.0.0"\ncertificate = "a.pem"', "belong together"),
        ('[page]\nshifts = ["25:00"]', "page.shifts"),
        ('[worker]\nkey = "a"', "belong together"),
    ],
)
def test_settings_that_would_be_unsafe_are_refused(tmp_path: Path, content: str, expected: str) -> None:
    """Off this host without TLS only if the settings say so."""
    config = tmp_path / "hmi.toml"
    config.write_text(content)
    with pytest.raises(InputError, match=expected):
        load_with_sources(config)
    config.write_text('[page]\nhost = "0.0.0.0"\ninsecure = true')
    assert load_with_sources(config).settings.page.insecure


def test_the_secret_is_its_owners_alone(tmp_path: Path) -> None:
    """It is made once with mode 600; one that others can read, or that is too short, is refused."""
    path = tmp_path / "hmi.secret"
    key = read_or_make_secret(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_or_make_secret(path) == key
    path.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        read_or_make_secret(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(InputError, match="5 bytes"):
        read_or_make_secret(path)


def test_the_line_of_a_plc_is_read_only_until_somebody_takes_over(tmp_path: Path) -> None:
    """423 before, done after; a page that is started again knows who has the line; a damaged file is somebody."""
    file = tmp_path / "takeover.json"
    settings = page_settings(tmp_path, access={"plc_owns_line": True, "takeover": str(file)})
    lock = LineLock(settings.access)
    assert lock.is_read_only
    with pytest.raises(PageError, match="read_only"):
        lock.require_free()
    lock.take_over("anna")
    again = LineLock(settings.access)
    taken = again.taken_over()
    assert taken is not None
    assert taken.who == "anna"
    assert not again.is_read_only
    again.give_back()
    assert lock.is_read_only
    file.write_text("{")
    assert not lock.is_read_only


def test_without_a_file_nobody_takes_over(tmp_path: Path) -> None:
    """The gateway could not learn of it, so it is refused in words and the line stays read-only."""
    with page_client(tmp_path, page_settings(tmp_path, access={"plc_owns_line": True})) as client:
        client.log_in("administer")
        refused = client.post("/take-over")
        assert refused.status_code == 409
        assert "[access] takeover" in refused.json()["error"]
        assert client.site.lock.is_read_only
