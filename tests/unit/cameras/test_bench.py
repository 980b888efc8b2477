"""The short form of what docs/cameras.md quotes: every trigger is accounted for, also over a device that is pulled."""

import pytest

pytest.importorskip("genicam", reason="needs the extra genicam")

from cmfm_cameras.bench import conversion, steady
from cmfm_cameras.bench.steady import Account, measure_pulled, measure_steady
from cmfm_cameras.errors import DeviceError


def test_every_trigger_of_a_steady_producer_is_accounted_for() -> None:
    """Its subscriber hears each number once, and the last heartbeat names them all."""
    said: list[str] = []
    assert measure_steady(2.0, said.append)
    assert "problems: none" in said[0]
    assert not said[0].startswith("2 s: 0 frames")


def test_a_device_that_is_pulled_and_put_back_uses_no_number_twice() -> None:
    """The producer is unloaded and loaded again; its frame ids begin anew, the numbers go on."""
    said: list[str] = []
    assert measure_pulled(4, 2, said.append)
    assert said[0].startswith("pulled 4 times, opened 4 times: ")


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (Account([0, 1], [0, 1], 2), []),
        (Account([0, 2], [0, 2], 3), ["1 numbers were not heard"]),
        (Account([0, 1, 1], [0], 2), ["a trigger came twice"]),
        (Account([1, 0], [0], 2), ["a trigger came twice, or after a later one"]),
        (Account([0, 1], [0, 1], 1), ["the last heartbeat says 1, number 1 was heard"]),
        (Account([0], [0, 0], 1), ["a frame came twice"]),
    ],
)
def test_an_account_that_does_not_add_up_is_found(account: Account, words: list[str]) -> None:
    """The check above can fail."""
    problems = account.problems()
    assert len(problems) == len(words)
    for word, problem in zip(words, problems, strict=True):
        assert word in problem


def test_a_number_that_a_full_socket_refused_is_accounted_for() -> None:
    """The camera counted the drop, and its heartbeat names the number."""
    assert Account([0, 2], [0, 2], 3).problems(dropped=1) == []


def test_conversion_is_measured_stage_by_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each layout; here on small buffers."""
    monkeypatch.setattr(conversion, "HEIGHT", 40)
    monkeypatch.setattr(conversion, "WIDTH", 50)
    said: list[str] = []
    conversion.measure(2, said.append)
    assert len(said) == 3
    assert all("ms of one core (picture" in line for line in said)


def test_a_pulled_device_gives_its_frames_first() -> None:
    """Then its driver reports the loss."""
    device = steady.PulledDevice(0)
    try:
        with pytest.raises(DeviceError, match="pulled"):
            device.capture(1.0)
    finally:
        device.close()
