"""`cmfm-gateway` as a person runs it: help, exit codes, `check`, `symbols`, `example`, start and end of the process."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from cmfm_gateway.app import exit_code, main
from cmfm_gateway.errors import ExitCode, InputError, StartupError
from cmfm_sim.ports import free_ports


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_help_names_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """And imports neither pymodbus nor asyncua nor aiomqtt, so that it is quick."""
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for text in ("check", "symbols", "example", "grade", "--config", "not valid", "could not start"):
        assert text in shown
    program = (
        "import sys, cmfm_gateway.app; print(sorted({'pymodbus', 'asyncua', 'aiomqtt'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), ExitCode.BAD_INPUT),
        (StartupError("x"), ExitCode.STARTUP),
        (ValueError("x"), ExitCode.BUG),
    ],
)
def test_exit_codes(error: Exception, code: ExitCode) -> None:
    """Only errors that the user can correct are bad input."""
    assert exit_code(error) is code


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[modbus]\nprot = 502\n", ["modbus.prot", "unknown key", "did you mean 'port'"]),
        ("[modbsu]\n", ["modbsu", "did you mean 'modbus'"]),
        ('[modbus]\nenabled = true\nhost = "0.0.0.0"\n', ["modbus", "insecure = true"]),
        ("[modbus]\nrecipes = { a = 1, b = 1 }\n", ["modbus.recipes", "two recipes have one number"]),
        ("[modbus]\nrecipes = { a = 0 }\n", ["modbus.recipes", "1 to 65535"]),
        ('[modbus]\ncertificate = "a.pem"\n', ["modbus", "private_key belong together"]),
        ('[gateway]\npart_number = "table"\n', ["gateway", "needs part_table"]),
        ('[worker]\nkey = "a"\n', ["worker", "both"]),
        (
            '[modbus]\nenabled = true\n[worker]\nkey = "own.key_secret"\nworker_key = "worker.key"\n',
            ["own.key_secret"],
        ),
        ('[modbus]\nenabled = true\n[gateway]\npart_number = "table"\npart_table = "no.csv"\n', ["no.csv"]),
        ('[worker]\nresults = "tcp://*:5556"\n', ["worker.results", "name host and port"]),
        ("", ["nothing is enabled"]),
        ("[gateway\n", ["TOML"]),
    ],
)
def test_wrong_settings_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: list[str]
) -> None:
    """Exit code 2, and a message with file, key and what to do; the start says the same as `check`."""
    config = tmp_path / "gateway.toml"
    config.write_text(text)
    for arguments in (["--config", str(config)], ["check", "--config", str(config)]):
        assert run(*arguments) == 2
        shown = "".join(capsys.readouterr())
        for word in words:
            assert word in shown


def test_check_explains_every_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON for programs, with the source of each value."""
    config = tmp_path / "gateway.toml"
    config.write_text("[modbus]\nenabled = true\nport = 1502\n")
    assert run("check", "--config", str(config), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["settings"]["modbus"]["port"]["value"] == 1502
    assert report["settings"]["modbus"]["port"]["source"] == "file"
    assert report["problems"] == []


def test_environment_overrides_and_the_worker_ignores_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One shell may hold the variables of both programs."""
    from cmfm_worker.settings.load import load_settings

    monkeypatch.setenv("CMFM_GATEWAY_MODBUS__PORT", "1503")
    monkeypatch.setenv("CMFM_GATEWAY_MODBUS__ENABLED", "true")
    config = tmp_path / "gateway.toml"
    config.write_text("")
    assert run("check", "--config", str(config), "--json") == 0
    assert json.loads(capsys.readouterr().out)["settings"]["modbus"]["port"]["value"] == 1503
    assert load_settings(config).batch.max_batch == 4


def test_symbols_and_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The samples name the port of the settings; the example is a settings file."""
    config = tmp_path / "gateway.toml"
    config.write_text('[modbus]\nport = 1502\nword_order = "low_first"\n')
    assert run("symbols", "--modbus", "csv") == 0
    assert "result.verdict,167,40168,UINT" in capsys.readouterr().out
    assert run("symbols", "--modbus", "markdown", "--config", str(config)) == 0
    samples = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mbpoll")]
    assert all("-p 1502" in line and "-B" not in line for line in samples)
    assert run("symbols", "--modbus", "xml") == 2
    capsys.readouterr()
    assert run("example") == 0
    config.write_text(capsys.readouterr().out)
    assert run("check", "--config", str(config)) == 2  # nothing is enabled
    assert "nothing is enabled" in capsys.readouterr().out


def write_config(folder: Path, port: int, http: int) -> Path:
    config = folder / "gateway.toml"
    config.write_text(
        f"[modbus]\nenabled = true\nport = {port}\n[metrics]\nport = {http}\n[log]\nformat = 'json'\n"
    )
    return config


def test_the_process_starts_serves_metrics_and_ends_in_order(tmp_path: Path) -> None:
    """systemd is told READY=1; SIGTERM ends it with 0; the log is JSON."""
    port, http = free_ports(2)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        process = subprocess.Popen(
            [sys.executable, "-m", "cmfm_gateway.app", "--config", str(write_config(tmp_path, port, http))],
            env=os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert systemd.recv(1000).startswith(b"READY=1")
            with urllib.request.urlopen(f"http://127.0.0.1:{http}/metrics") as answer:
                page = answer.read().decode()
            assert "cmfm_gateway_line_valid 0.0" in page
            assert 'cmfm_gateway_line_cause{cause="silence"} 1.0' in page
            until_s = time.monotonic() + 10
            with socket.socket() as probe:
                while probe.connect_ex(("127.0.0.1", port)):
                    assert time.monotonic() < until_s
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=10)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events[0] == "gateway_started"
    assert events[-1] == "gateway_stopped"


@pytest.mark.parametrize("taken", ["modbus", "metrics"])
def test_a_port_that_is_taken_ends_with_3(tmp_path: Path, taken: str) -> None:
    """The message names the port."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port, free = holder.getsockname()[1], free_ports(1)[0]
        config = write_config(tmp_path, *((port, free) if taken == "modbus" else (free, port)))
        command = [sys.executable, "-m", "cmfm_gateway.app", "--config", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 3
    assert f"{taken}: cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_grade_of_nobody_ends_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the address."""
    port = free_ports(1)[0]
    assert run("grade", "--port", str(port)) == 3
    assert f"nobody answers at 127.0.0.1:{port}" in capsys.readouterr().err
