"""TLS, users, passwords and client certificates against mosquitto; a password is never shown."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.made_mosquitto import Broker, program, wait_until
from tests.made_tls import Authority
from tests.unit.made.ended_task import end
from tests.unit.made.mqtt_gateway import MadeGateway
from tests.unit.made.running_gateway import until
from tests.unit.made.verdicts import result

from cmfm_gateway.app import main
from cmfm_gateway.errors import InputError
from cmfm_gateway.mqtt.adapter import MqttAdapter

PASSWORD = "correct horse battery"  # noqa: S105 (made up)
LIMIT_S = 20.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_broker(authority: Authority, tmp_path: Path) -> Iterator[Broker]:
    server = authority.issue("server")
    lines = (f"cafile {authority.ca}", f"certfile {server.cert}", f"keyfile {server.key}")
    with Broker(tmp_path / "tls", listener=(*lines, "require_certificate true")) as broker:
        yield broker


@pytest.fixture
def password_broker(tmp_path: Path) -> Iterator[Broker]:
    file = tmp_path / "users"
    subprocess.run(
        [program("mosquitto_passwd"), "-c", "-b", str(file), "gateway", PASSWORD],
        check=True,
        capture_output=True,
    )
    file.chmod(0o644)
    with Broker(tmp_path / "users-broker", f"password_file {file}", anonymous=False) as broker:
        yield broker


def attempt(folder: Path, broker: Broker, **changes: Any) -> tuple[int, list[str]]:
    """Run the adapter until a result is confirmed or a connection fails; returns the cursor, and what was logged."""
    section = {"enabled": True, "port": broker.port, "acknowledge_s": 5.0} | changes

    async def scenario() -> int:
        gateway = MadeGateway(folder / "store.sqlite", mqtt=section)
        task = asyncio.create_task(MqttAdapter(gateway.settings.mqtt).run(gateway))  # type: ignore[arg-type]
        gateway.add(result(1))
        await until(lambda: gateway.store.cursor("mqtt") or gateway.counts["mqtt", "failures"], LIMIT_S)
        await end(task)
        return gateway.store.cursor("mqtt")

    with structlog.testing.capture_logs() as lines:
        cursor = asyncio.run(scenario())
    return cursor, [str(line.get("why", "")) for line in lines]


def test_tls_with_a_client_certificate(authority: Authority, tls_broker: Broker, tmp_path: Path) -> None:
    """Both sides check each other; the result arrives."""
    client = authority.issue("client")
    files = {"ca_file": authority.ca, "cert_file": client.cert, "key_file": client.key}

    assert attempt(tmp_path, tls_broker, tls=True, **files)[0] == 1


def test_a_broker_of_another_authority_is_refused(
    authority: Authority, tls_broker: Broker, tmp_path: Path
) -> None:
    """Nothing is sent to a broker whose certificate nobody vouches for, and the log says why."""
    other, client = Authority(tmp_path / "other", "other"), authority.issue("client")
    files = {"ca_file": other.ca, "cert_file": client.cert, "key_file": client.key}
    cursor, why = attempt(tmp_path, tls_broker, tls=True, **files)

    assert cursor == 0
    assert any("certificate verify failed" in line for line in why)


def test_a_broker_that_wants_a_certificate_refuses_a_client_without(
    authority: Authority, tls_broker: Broker, tmp_path: Path
) -> None:
    """A failure that is counted, not a hang."""
    assert attempt(tmp_path, tls_broker, tls=True, ca_file=authority.ca)[0] == 0


def test_a_user_with_a_password_from_a_file(password_broker: Broker, tmp_path: Path) -> None:
    """The first line of the file counts; a wrong password is refused by the broker."""
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n", encoding="utf-8")
    file.chmod(0o600)
    assert attempt(tmp_path, password_broker, user="gateway", password_file=file)[0] == 1

    cursor, why = attempt(tmp_path / "..", password_broker, user="gateway", password="wrong")  # noqa: S106
    assert cursor == 0
    assert any("Not authorized" in line for line in why), why


def test_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The message names the file and the cure."""
    file = tmp_path / "password"
    file.write_text(PASSWORD, encoding="utf-8")
    file.chmod(0o640)
    gateway = MadeGateway(tmp_path / "store.sqlite", mqtt={"user": "u", "password_file": file})

    with pytest.raises(InputError, match=f"{file}: others may read the password; run chmod 600"):
        MqttAdapter(gateway.settings.mqtt)


def test_files_that_are_no_certificates_are_named(authority: Authority, tmp_path: Path) -> None:
    """Each file of the section that cannot be used is named with its key."""
    wrong, client = tmp_path / "wrong.pem", authority.issue("client")
    wrong.write_text("not a certificate", encoding="utf-8")
    for files, message in (
        ({"ca_file": wrong}, r"wrong.pem: no certificates.*ca_file"),
        ({"ca_file": tmp_path / "none"}, r"none: no certificates.*ca_file"),
        ({"cert_file": client.cert, "key_file": wrong}, r"wrong.pem: no client certificate.*key_file"),
    ):
        gateway = MadeGateway(tmp_path / "store.sqlite", mqtt={"tls": True, **files})
        with pytest.raises(InputError, match=message):
            MqttAdapter(gateway.settings.mqtt)


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_check_never_prints_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], json: list[str]
) -> None:
    """It comes from the environment; `check` says that it is set, and where."""
    config = tmp_path / "gateway.toml"
    config.write_text('[mqtt]\nenabled = true\nuser = "u"\n', encoding="utf-8")
    monkeypatch.setenv("CMFM_GATEWAY_MQTT__PASSWORD", PASSWORD)

    with pytest.raises(SystemExit) as ended:
        main(["check", "--config", str(config), *json])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert PASSWORD not in out
    assert "CMFM_GATEWAY_MQTT__PASSWORD" in out


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            'host = "broker.example"',
            "is not encrypted; set tls = true, or write insecure = true under [mqtt]",
        ),
        ('tls = true\ncert_file = "a.pem"', "cert_file and key_file belong together"),
        ('ca_file = "a.pem"', "need tls = true"),
        ('password = "x"', "a password needs a user"),
        ("pictures = true", "needs archive"),
        ('line = "a/b"', "a name has 1 to 64"),
        ('sight = "x"', "did you mean 'site'?"),
        ("heartbeat_s = 0", "greater than 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: str, message: str
) -> None:
    """The message names the file, the key and what to write; the exit code is 2."""
    config = tmp_path / "gateway.toml"
    config.write_text(f"[mqtt]\nenabled = true\n{lines}\n", encoding="utf-8")

    with pytest.raises(SystemExit) as ended:
        main(["check", "--config", str(config)])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_broken_password_setting_is_not_printed_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Messages about other keys of the section do not repeat it."""
    config = tmp_path / "gateway.toml"
    config.write_text("[mqtt]\nenabled = true\nport = 0\n", encoding="utf-8")
    monkeypatch.setenv("CMFM_GATEWAY_MQTT__PASSWORD", PASSWORD)

    with pytest.raises(SystemExit):
        main(["check", "--config", str(config)])
    assert PASSWORD not in "".join(capsys.readouterr())


def test_the_password_is_not_in_the_process_s_log(password_broker: Broker, tmp_path: Path) -> None:
    """Neither ours nor, in clear, what the broker was asked for is logged by us."""
    _, why = attempt(tmp_path, password_broker, user="gateway", password=PASSWORD)
    assert not any(PASSWORD in line for line in why)
    wait_until(lambda: "gateway" in password_broker.log(), "the broker knows the user")
