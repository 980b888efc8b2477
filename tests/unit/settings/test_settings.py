"""Settings: every wrong key is named, unknown keys and variables are refused, the environment overrides the file."""

import re
import tomllib
from itertools import product
from pathlib import Path

import pytest
from pydantic import BaseModel

from cmfm_protocol.wire.limits import NAME_RULE
from cmfm_protocol.wire.topics import parse_topic, topic
from cmfm_settings.endpoints import is_local
from cmfm_worker.errors import InputError
from cmfm_worker.settings.load import load_settings, load_with_sources
from cmfm_worker.settings.model import Settings

DEPLOY = Path(__file__).parents[3] / "deploy"


def write(folder: Path, text: str) -> Path:
    path = folder / "line.toml"
    path.write_text(text)
    return path


def test_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    """Every key may be left out, and paths are relative to the file."""
    settings = load_settings(write(tmp_path, ""))
    assert settings.batch.max_batch == 4
    assert settings.recipes.folder == tmp_path / "recipes"
    assert settings.ledger.path == tmp_path / "ledger.sqlite"


def test_probe_waits_for_the_hang_limit(tmp_path: Path) -> None:
    """A probe that would end the worker before the worker finds a hung device itself is refused."""
    with pytest.raises(InputError, match=r"stalled_after_s = 45 must be more than device.hang_limit_s = 60"):
        load_settings(write(tmp_path, "[device]\nhang_limit_s = 60.0\n"))


def test_warm_up_sizes(tmp_path: Path) -> None:
    """The sizes to warm up are the side of a square, or height and width of each camera's frames."""
    square = load_settings(write(tmp_path, "[device]\nwarmup_px = 500\n"))
    assert square.device.warmup_shapes == ((500, 500),)
    cameras = load_settings(write(tmp_path, "[device]\nwarmup_px = [[1024, 1280], [480, 640]]\n"))
    assert cameras.device.warmup_shapes == ((1024, 1280), (480, 640))
    with pytest.raises(InputError, match="warmup_px"):
        load_settings(write(tmp_path, "[device]\nwarmup_px = [400, 500]\n"))


def example_text() -> str:
    return (DEPLOY / "line.toml").read_text()


def test_example_file_states_the_defaults(tmp_path: Path) -> None:
    """deploy/line.toml has every key, and the values that it shows are the defaults."""
    table = tomllib.loads(example_text())
    defaults = Settings()
    assert {section: set(keys) for section, keys in table.items()} == {
        section: set(type(getattr(defaults, section)).model_fields) for section in Settings.model_fields
    }
    example = load_settings(write(tmp_path, example_text()))
    assert example == load_settings(write(tmp_path, ""))


def test_example_file_explains_each_key_as_check_does() -> None:
    """Its comments are the descriptions word for word, so that file, `check` and code never contradict each other."""
    explained: dict[str, str] = {}
    section = ""
    words: list[str] = []
    for line in example_text().splitlines():
        if line.startswith("["):
            section, words = line[1 : line.index("]")], []
            assert line.partition("# ")[2] == section_type(section).__doc__
        elif line.startswith("#"):
            words += line[1:].split()
        elif key := line.partition(" = ")[0]:
            explained[f"{section}.{key}"] = " ".join(words)
            words = []
    assert explained == {
        f"{section}.{key}": " ".join((field.description or "").split())
        for section in Settings.model_fields
        for key, field in section_type(section).model_fields.items()
    }


def section_type(section: str) -> type[BaseModel]:
    return type(getattr(Settings(), section))


def test_every_key_is_described() -> None:
    """No key is left to be guessed, and a time, size or number has its unit in its name or description."""
    units = re.compile(
        r"_(ms|s|px|mb|days|pixels)\b|[Ff]rames|[Vv]erdicts|[Mm]aps|[Jj]ump|threads|port|bytes|slots|Connections"
    )
    for section in Settings.model_fields:
        for key, field in section_type(section).model_fields.items():
            assert field.description, f"{section}.{key}"
            assert field.description.endswith("."), f"{section}.{key}"
            if field.annotation in (int, float):
                assert units.search(f"{key} {field.description}"), f"{section}.{key} has no unit"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[batch]\nmax_btach = 2\n", ["batch.max_btach", "max_batch"]),
        ("[bacth]\nmax_batch = 2\n", ["bacth", "batch"]),
        ("[batch]\nmax_batch = 0\n", ["batch.max_batch", "greater than or equal to 1"]),
        ('[device]\nname = "gpu"\n', ["device.name"]),
        ("[line\n", ["line.toml", "TOML"]),
        ('[sockets]\nresults = "tcp://0.0.0.0:5556"\n', ["results", "insecure = true"]),
        ("[sockets]\nframes = []\n", ["sockets.frames"]),
        ('[metrics]\nport = 9000\nhost = "192.0.2.1"\n', ["metrics", "insecure = true"]),
        ('[metrics]\nport = 9000\nhost = ""\n', ["metrics", "insecure = true"]),
        (
            '[sockets]\nresults = "tcp://127.0.0.1:5557"\n',
            ["sockets", "results and maps", "each needs its own"],
        ),
        (
            '[sockets]\nframes = ["tcp://a:1", "tcp://b:1", "tcp://a:1"]\n',
            ["sockets.frames", "tcp://a:1", "twice"],
        ),
        ('[curve]\ncameras = {"tcp://127.0.0.1:5555" = "c.key"}\n', ["curve", "secret_key"]),
        (
            '[curve]\nsecret_key = "w"\ncameras = {"tcp://127.0.0.1:9" = "c.key"}\n',
            ["tcp://127.0.0.1:9", "sockets.frames"],
        ),
    ],
)
def test_wrong_file_is_explained(tmp_path: Path, text: str, words: list[str]) -> None:
    """An error names the file, the key and what was expected."""
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("key", ["line.name", "line.station", "recipes.default", "recipes.names"])
@pytest.mark.parametrize("name", [".", "..", "...", "a.", ".a", "a/b", "a b", "ä", "a\\n", "x" * 65])
def test_names_follow_one_rule(tmp_path: Path, key: str, name: str) -> None:
    """A name that a topic, a header or a folder cannot carry is refused, by file, key and rule."""
    section, field = key.split(".")
    value = f'["{name}"]' if field == "names" else f'"{name}"'
    path = write(tmp_path, f"[{section}]\n{field} = {value}\n")
    with pytest.raises(InputError) as caught:
        load_settings(path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path}: {key}")
    assert NAME_RULE in line


def test_empty_name_of_a_line_is_refused(tmp_path: Path) -> None:
    """Only [recipes] default may be empty."""
    with pytest.raises(InputError, match=re.escape(f"line.name: '': {NAME_RULE}")):
        load_settings(write(tmp_path, '[line]\nname = ""\n[recipes]\ndefault = ""\n'))


@pytest.mark.parametrize("name", ["line1", "L-1_a.b", "-", "x" * 64])
def test_every_name_makes_a_topic(tmp_path: Path, name: str) -> None:
    """A name that `check` accepts does not end the worker later."""
    line = load_settings(write(tmp_path, f'[line]\nname = "{name}"\nstation = "{name}"\n')).line
    assert parse_topic(topic(line.name, line.station, "frame")).line == name


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("tcp://127.0.0.1", "tcp://HOST:PORT"),
        ("tcp://127.0.0.1:99999", "port 99999"),
        ("tcp://127.0.0.1:0", "port 0"),
        ("tcp://127.0.0.1:١٢", "tcp://HOST:PORT"),
        ("tcp://a b:5", "tcp://HOST:PORT"),
        ("tcp://a/b:5", "tcp://HOST:PORT"),
        ("tcp://::1:5", "brackets"),
        ("http://a:5", "tcp://HOST:PORT"),
        ("ipc://", "ipc://PATH"),
        ("ipc://" + "x" * 108, "107 bytes"),
        ("inproc://" + "x" * 300, "256 bytes"),
        ("ipc:///a\\u0000b", "not printable"),
    ],
)
@pytest.mark.parametrize("key", ["frames", "results", "control"])
def test_endpoints_that_no_socket_takes_are_refused(tmp_path: Path, key: str, value: str, words: str) -> None:
    """libzmq would end the start with an error, or listen on another port without one."""
    path = write(tmp_path, f"[sockets]\n{key} = " + (f'["{value}"]' if key == "frames" else f'"{value}"'))
    with pytest.raises(InputError) as caught:
        load_settings(path)
    assert f"{path}: sockets.{key}" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", ["tcp://*:5555", "tcp://camera:*"])
def test_camera_endpoints_name_host_and_port(tmp_path: Path, value: str) -> None:
    """A wildcard is valid for bound sockets only."""
    with pytest.raises(InputError, match=r"sockets.frames\[0\]: name host and port of the other side"):
        load_settings(write(tmp_path, f'[sockets]\nframes = ["{value}"]\n'))
    bound = load_settings(
        write(tmp_path, '[sockets]\nresults = "tcp://127.0.0.1:*"\nmaps = "tcp://127.0.0.1:*"\n')
    )
    assert bound.sockets.results == bound.sockets.maps


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".org", "a\\u0000b"])
def test_hosts_that_cannot_be_resolved_are_refused(tmp_path: Path, host: str) -> None:
    """Python's server would end with an error of its own about such a host."""
    with pytest.raises(InputError, match=r"metrics.host: "):
        load_settings(write(tmp_path, f'[metrics]\nport = 9000\ninsecure = true\nhost = "{host}"\n'))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *product(
            [
                "recipes.folder",
                "weights.folder",
                "ledger.path",
                "kept.folder",
                "collected.folder",
                "curve.readers",
            ],
            ["", "a\\u0000b", "a\\nb"],
        ),
        ("curve.secret_key", "a\\u0000b"),  # an empty one means that the worker has no key
    ],
)
def test_paths_that_are_invalid_are_refused(tmp_path: Path, key: str, value: str) -> None:
    """An empty path would mean the folder of the file, a control character an error when it is opened."""
    section, field = key.split(".")
    with pytest.raises(InputError, match=rf"line\.toml: {key}: .*path"):
        load_settings(write(tmp_path, f'[{section}]\n{field} = "{value}"\n'))


@pytest.mark.parametrize(
    "assignment",
    [
        "[ledger]\nkeep_days = inf",
        "[ledger]\nmax_mb = nan",
        "[kept]\nmax_mb = inf",
        "[ledger]\nflush_ms = 1e300",
        "[results]\nstate_ms = 1e300",
        "[metrics]\nstalled_after_s = 1e300",
        "[intake]\nheartbeat_ms = 3_000_000_000",
        "[intake]\nreceive_hwm = 1_000_000_000_000",
        "[results]\nhwm = 1_000_000_000_000",
        "[maps]\nhwm = 1_000_000_000_000",
        '[device]\nname = "cuda:١"',
        '[device]\nname = "cuda:99999999999999999999"',
    ],
)
def test_values_that_overflow_later_are_refused(tmp_path: Path, assignment: str) -> None:
    """Clocks, waits, sockets and torch cannot represent them: the worker would end with a traceback."""
    section, field = assignment[1:].replace("]\n", ".").split(" = ")[0].split(".")
    with pytest.raises(InputError, match=rf"line\.toml: {section}\.{field}: "):
        load_settings(write(tmp_path, assignment))


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    """One start of the worker shows all mistakes of a file."""
    with pytest.raises(InputError) as caught:
        load_settings(write(tmp_path, "[batch]\nmax_batch = 0\n[ring]\nslots = 1\n"))
    assert "max_batch" in str(caught.value)
    assert "slots" in str(caught.value)


def test_missing_file_is_an_input_error(tmp_path: Path) -> None:
    """A wrong path is reported as a missing file."""
    with pytest.raises(InputError, match="no such file"):
        load_settings(tmp_path / "nothing.toml")


def test_environment_overrides_one_key_and_keeps_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CMFM_<SECTION>__<KEY> wins over the file and leaves its neighbours as they are."""
    monkeypatch.setenv("CMFM_BATCH__MAX_BATCH", "8")
    settings = load_settings(write(tmp_path, "[batch]\nmax_batch = 2\nmax_wait_ms = 7.5\n"))
    assert settings.batch.max_batch == 8
    assert settings.batch.max_wait_ms == 7.5


def test_every_value_has_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment over file over default, and the variable is named as it was written."""
    monkeypatch.setenv("CMFM_BATCH__MAX_BATCH", "8")
    monkeypatch.setenv("cmfm_log__level", "debug")
    monkeypatch.setenv("CMFM_MAPS", '{"hwm": 3}')
    loaded = load_with_sources(
        write(tmp_path, '[batch]\nmax_batch = 2\nmax_wait_ms = 7.5\n[log]\nlevel = "info"\n')
    )
    assert (loaded.settings.batch.max_batch, loaded.settings.log.level, loaded.settings.maps.hwm) == (
        8,
        "debug",
        3,
    )
    assert loaded.source_of("batch", "max_batch") == "environment variable CMFM_BATCH__MAX_BATCH"
    assert loaded.source_of("log", "level") == "environment variable cmfm_log__level"
    assert loaded.source_of("maps", "hwm") == "environment variable CMFM_MAPS"
    assert loaded.source_of("batch", "max_wait_ms") == "file"
    assert loaded.source_of("batch", "overlapped") == "default"


def test_wrong_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the environment does not send anybody to look into the file."""
    monkeypatch.setenv("CMFM_BATCH__MAX_BATCH", "many")
    monkeypatch.setenv("CMFM_RING__SLOT", "4")
    with pytest.raises(InputError) as caught:
        load_settings(write(tmp_path, "[batch]\nmax_wait_ms = -1\n"))
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["environment variable CMFM_RING__SLOT", "ring.slot"],
        ["environment variable CMFM_BATCH__MAX_BATCH", "batch.max_batch"],
        [str(tmp_path / "line.toml"), "batch.max_wait_ms"],
    ]


def test_list_in_a_variable_is_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that is not JSON is refused with an example."""
    monkeypatch.setenv("CMFM_SOCKETS__FRAMES", '["tcp://camera:1"]')
    assert load_settings(write(tmp_path, "")).sockets.frames == ("tcp://camera:1",)
    monkeypatch.setenv("CMFM_SOCKETS__FRAMES", "tcp://camera:1")
    with pytest.raises(InputError, match="a list is written as JSON"):
        load_settings(tmp_path / "line.toml")


def test_paths_in_variables_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path means the same wherever it is written; an absolute one stays."""
    monkeypatch.setenv("CMFM_KEPT__FOLDER", "parts")
    monkeypatch.setenv("CMFM_LEDGER__PATH", "/var/lib/cmfm/ledger.sqlite")
    settings = load_settings(write(tmp_path, ""))
    assert settings.kept.folder == tmp_path / "parts"
    assert settings.ledger.path == Path("/var/lib/cmfm/ledger.sqlite")


def test_misspelt_variable_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that would be ignored is refused."""
    monkeypatch.setenv("CMFM_BACTH__MAX_BATCH", "8")
    with pytest.raises(InputError, match="CMFM_BACTH__MAX_BATCH"):
        load_settings(write(tmp_path, ""))


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("tcp://127.0.0.1:5556", True),
        ("tcp://localhost:5556", True),
        ("tcp://[::1]:5556", True),
        ("ipc:///run/cmfm/results", True),
        ("tcp://0.0.0.0:5556", False),
        ("tcp://*:5556", False),
        ("tcp://192.168.0.5:5556", False),
        ("tcp://eth0:5556", False),
    ],
)
def test_which_endpoints_stay_on_this_host(endpoint: str, local: bool) -> None:
    """Only loopback and ipc count as local."""
    assert is_local(endpoint) is local


@pytest.mark.parametrize("key", ["results", "maps", "recovery", "control"])
@pytest.mark.parametrize(
    ("more", "taken"),
    [
        ("", False),
        ("insecure = false", False),
        ("insecure = true", True),
        ('[curve]\nsecret_key = "worker.key_secret"', True),
        ('[curve]\nsecret_key = ""', False),
        ("[metrics]\ninsecure = true", False),
    ],
)
def test_off_host_needs_curve_or_insecure(tmp_path: Path, key: str, more: str, taken: bool) -> None:
    """Other hosts can reach a bound socket only with encryption, or if the file says insecure = true."""
    path = write(tmp_path, f'[sockets]\n{key} = "tcp://*:6000"\n{more}\n')
    if taken:
        assert getattr(load_settings(path).sockets, key) == "tcp://*:6000"
        return
    with pytest.raises(InputError, match=rf"sockets\.{key} .*\[curve\] secret_key.*insecure = true"):
        load_settings(path)


@pytest.mark.parametrize("more", ['host = "127.0.0.1"', 'host = "::1"', 'host = "0.0.0.0"\ninsecure = true'])
def test_metrics_stay_on_this_host_unless_allowed(tmp_path: Path, more: str) -> None:
    """HTTP is served on loopback, or elsewhere if the file says insecure = true."""
    assert load_settings(write(tmp_path, f"[metrics]\nport = 9000\n{more}\n")).metrics.port == 9000


def test_key_files_are_relative_to_the_file(tmp_path: Path) -> None:
    """The folder of a line can be moved with its keys."""
    text = '[curve]\nsecret_key = "keys/worker.key_secret"\ncameras = {"tcp://127.0.0.1:5555" = "keys/camera.key"}\n'
    curve = load_settings(write(tmp_path, text)).curve
    assert curve.secret_key == tmp_path / "keys" / "worker.key_secret"
    assert curve.readers == tmp_path / "keys" / "readers"
    assert curve.controllers == tmp_path / "keys" / "controllers"
    assert curve.cameras == {"tcp://127.0.0.1:5555": tmp_path / "keys" / "camera.key"}


def test_cameras_have_names(tmp_path: Path) -> None:
    """[cameras] names them and replaces sockets.frames; a list without names gets names by its order."""
    named = load_settings(write(tmp_path, '[cameras]\nleft = "tcp://a:1"\nright = "tcp://b:1"\n'))
    assert named.camera_names == {"tcp://a:1": "left", "tcp://b:1": "right"}
    listed = load_settings(write(tmp_path, '[sockets]\nframes = ["tcp://a:1", "tcp://b:1"]\n'))
    assert listed.camera_names == {"tcp://a:1": "camera1", "tcp://b:1": "camera2"}
    heading = "\n[curve]"  # after the section [cameras] of the example, which has sockets.frames too
    beside = load_settings(
        write(tmp_path, example_text().replace(heading, f'\nleft = "tcp://a:1"{heading}', 1))
    )
    assert beside.camera_names == {"tcp://a:1": "left"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[cameras]\nleft = "tcp://a"\n', ["cameras.left", "tcp://HOST:PORT"]),
        ('[cameras]\n"le/ft" = "tcp://a:1"\n', ["cameras", "le/ft"]),
        ('[cameras]\nleft = "tcp://a:1"\nright = "tcp://a:1"\n', ["cameras", "left and right", "tcp://a:1"]),
        (
            '[cameras]\nleft = "tcp://a:1"\n[sockets]\nframes = ["tcp://b:1"]\n',
            ["[cameras]", "sockets.frames"],
        ),
        (
            '[cameras]\nleft = "tcp://a:1"\n[curve]\nsecret_key = "k"\ncameras = { "tcp://b:1" = "c" }\n',
            ["curve.cameras", "tcp://b:1"],
        ),
    ],
)
def test_wrong_cameras_are_named(tmp_path: Path, text: str, words: list[str]) -> None:
    """The message names the camera and the rule."""
    with pytest.raises(InputError) as caught:
        load_settings(write(tmp_path, text))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_camera_in_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for every key the environment wins."""
    monkeypatch.setenv("CMFM_CAMERAS__LEFT", "tcp://b:1")
    text = '[cameras]\nleft = "tcp://a:1"\n'
    assert load_settings(write(tmp_path, text)).camera_names == {"tcp://b:1": "left"}
