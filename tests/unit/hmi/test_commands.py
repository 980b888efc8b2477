"""`cmfm-hmi` and its commands: users, check, example, exit codes; metrics and probes."""

import io
import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.unit.made.page import page_client, page_settings

from cmfm_hmi.app import main
from cmfm_hmi.metrics import serve_metrics
from cmfm_hmi.server import listening
from cmfm_hmi.settings.page import PageSection
from cmfm_sim.ports import free_ports


def run(*arguments: str) -> int:
    """Run the program; returns its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "hmi.toml"
    path.write_text(f"[page]\nport = {free_ports(1)[0]}\n")
    return path


def test_users_are_added_listed_changed_and_removed(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is made; a second add gives a new role; who is not there cannot be removed."""
    for role in ("operate", "teach"):
        monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
        arguments = ("--role", role, "--config", str(config), "--password-stdin")
        assert run("user", "add", "anna", *arguments) == 0
    capsys.readouterr()
    assert run("user", "list", "--config", str(config)) == 0
    assert capsys.readouterr().out == "anna  teach\n"
    assert run("user", "remove", "ben", "--config", str(config)) == 2
    assert "there are: anna" in capsys.readouterr().err
    assert run("user", "remove", "anna", "--config", str(config)) == 0
    assert run("user", "list", "--config", str(config)) == 0
    assert "anna  " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "role", "password", "expected"),
    [
        ("anna", "root", "correct horse", "expected view, operate, teach, administer"),
        ("anna", "view", "short", "8 to 256"),
        ("an na", "view", "correct horse", "a user's name"),
    ],
)
def test_a_user_that_cannot_be_is_a_sentence(
    config: Path,
    name: str,
    role: str,
    password: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 2, and what is allowed."""
    monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
    assert run("user", "add", name, "--role", role, "--config", str(config), "--password-stdin") == 2
    assert expected in capsys.readouterr().err


def test_check_explains_the_settings_and_names_files_that_cannot_be_used(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 and every key for good settings; 2 and one sentence each for bad files."""
    assert run("check", "--config", str(config), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["problems"] == []
    assert told["settings"]["page"]["port"]["source"] == "file"
    folder = config.parent
    (folder / "hmi.users").write_text("anna:root:1:1:1:AA==:AA==\n")
    (folder / "page.pem").write_text("no certificate")
    with config.open("a") as file:
        file.write(
            'certificate = "page.pem"\nprivate_key = "page.pem"\n[worker]\nkey = "a"\nworker_key = "b"\n'
        )
    assert run("check", "--config", str(config), "--json") == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert len(problems) == 3
    assert run("--config", str(config)) == 2
    errors = capsys.readouterr().err
    for expected in ("hmi.users, line 1", "page.certificate", str(folder / "a")):
        assert expected in errors


def test_a_port_that_is_taken_is_exit_code_3(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The page does not start, and says which port it is."""
    port = int(config.read_text().rpartition("=")[2])
    with listening(PageSection(port=port)):
        assert run("--config", str(config)) == 3
    assert f"127.0.0.1:{port}" in capfd.readouterr().err


def test_metrics_and_probes(tmp_path: Path) -> None:
    """Counts of the page in Prometheus' words; `/livez` fails once the event loop hangs."""
    (port,) = free_ports(1)

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    with page_client(tmp_path, page_settings(tmp_path, metrics={"port": port})) as client:
        stop = serve_metrics(client.site)
        try:
            client.log_in("teach", "wrong password")
            client.site.board.watch()
            status, text = get("/metrics")
            assert status == 200
            for line in (
                "cmfm_hmi_live_pages 1.0",
                "cmfm_hmi_worker_heard 0.0",
                "cmfm_hmi_audit_waiting 0.0",
                "cmfm_hmi_read_only 0.0",
                'cmfm_hmi_events_total{what="login_refused"} 1.0',
            ):
                assert line in text
            assert get("/livez")[0] == get("/readyz")[0] == 200
            portal, following = client.http.portal, client.site.board.following
            assert portal is not None
            portal.call(following.cancel)
            while not following.done():
                time.sleep(0.01)
            client.site.board.turned_s = time.monotonic() - 60
            assert get("/livez")[0] == 503
        finally:
            client.site.board.unwatch()
            stop()
