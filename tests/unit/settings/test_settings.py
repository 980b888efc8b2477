"""line.toml: every wrong key is named, nothing unknown is swallowed, the environment overrides."""

from pathlib import Path

import pytest

from cmfm_worker.errors import InputError
from cmfm_worker.settings.endpoints import is_local
from cmfm_worker.settings.load import load_settings

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
    """A probe that would end the worker before it has found a hung device itself is refused."""
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


def test_example_file_states_the_defaults(tmp_path: Path) -> None:
    """deploy/line.toml explains every key, and the values it shows are the defaults."""
    example = load_settings(DEPLOY / "line.toml")
    defaults = load_settings(write(tmp_path, ""))
    paths = {"recipes": {"folder"}, "weights": {"folder"}, "ledger": {"path"}, "kept": {"folder"}}
    paths["curve"] = {"readers", "controllers"}
    assert example.model_dump(exclude=paths) == defaults.model_dump(exclude=paths)
    text = (DEPLOY / "line.toml").read_text()
    for section_name in type(example).model_fields:
        assert f"[{section_name}]" in text
        for key in type(getattr(example, section_name)).model_fields:
            assert f"\n{key} = " in text, f"{section_name}.{key} is not explained"


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


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    """Nobody has to start the worker once per mistake."""
    with pytest.raises(InputError) as caught:
        load_settings(write(tmp_path, "[batch]\nmax_batch = 0\n[ring]\nslots = 1\n"))
    assert "max_batch" in str(caught.value)
    assert "slots" in str(caught.value)


def test_missing_file_is_an_input_error(tmp_path: Path) -> None:
    """A wrong path is told as such."""
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


def test_misspelt_variable_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that would be ignored in silence is refused."""
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
def test_off_host_needs_curve_or_insecure_in_so_many_words(
    tmp_path: Path, key: str, more: str, taken: bool
) -> None:
    """Each bound socket, by itself: other hosts reach it encrypted, or because the file says insecure = true."""
    path = write(tmp_path, f'[sockets]\n{key} = "tcp://*:6000"\n{more}\n')
    if taken:
        assert getattr(load_settings(path).sockets, key) == "tcp://*:6000"
        return
    with pytest.raises(InputError, match=rf"sockets\.{key} .*\[curve\] secret_key.*insecure = true"):
        load_settings(path)


@pytest.mark.parametrize("more", ['host = "127.0.0.1"', 'host = "::1"', 'host = "0.0.0.0"\ninsecure = true'])
def test_metrics_stay_on_this_host_unless_told(tmp_path: Path, more: str) -> None:
    """HTTP is served on loopback, or wherever the file allows it in so many words."""
    assert load_settings(write(tmp_path, f"[metrics]\nport = 9000\n{more}\n")).metrics.port == 9000


def test_key_files_are_relative_to_the_file(tmp_path: Path) -> None:
    """A line's folder can be moved with its keys."""
    text = '[curve]\nsecret_key = "keys/worker.key_secret"\ncameras = {"tcp://127.0.0.1:5555" = "keys/camera.key"}\n'
    curve = load_settings(write(tmp_path, text)).curve
    assert curve.secret_key == tmp_path / "keys" / "worker.key_secret"
    assert curve.readers == tmp_path / "keys" / "readers"
    assert curve.controllers == tmp_path / "keys" / "controllers"
    assert curve.cameras == {"tcp://127.0.0.1:5555": tmp_path / "keys" / "camera.key"}
