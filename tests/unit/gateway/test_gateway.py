"""The gateway's core against a worker's sockets: validity, recovery, requests, adapters that fail."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.made.publishing_line import PublishingLine
from tests.unit.made.running_gateway import gateway_settings, running, until

from cmfm_client import RefusedError
from cmfm_gateway.errors import AdapterError, StartupError
from cmfm_gateway.gateway import Gateway
from cmfm_gateway.line_view import Cause
from cmfm_gateway.run import serve
from cmfm_hmi.security.lock import LineLock
from cmfm_hmi.settings.access import AccessSection
from cmfm_protocol.wire.control import AnnounceRequest, LoadRecipeRequest


@pytest.fixture
def line() -> Iterator[PublishingLine]:
    with PublishingLine() as made:
        yield made


def test_the_line_is_valid_while_the_worker_is_heard_and_complete(
    line: PublishingLine, tmp_path: Path
) -> None:
    """Silence, another phase and a gap that is not recovered each make it not valid, with the cause."""

    async def scenario() -> None:
        settings = gateway_settings(line, tmp_path, worker={"silence_s": 1.5})
        async with running(settings, []) as gateway:
            line.wait_for_subscriber()
            assert gateway.view.cause is Cause.SILENCE
            line.heartbeat()
            await until(lambda: gateway.view.valid)
            line.phase = "draining"
            line.heartbeat()
            await until(lambda: gateway.view.cause is Cause.DRAINING)
            line.phase, line.mute = "ready", True
            line.publish(lost=True)
            line.publish()
            line.heartbeat()
            await until(lambda: gateway.view.cause is Cause.GAP)
            line.mute = False
            line.heartbeat()
            await until(lambda: gateway.view.valid)
            assert [each.result.result_id for each in gateway.store.after(0)] == [2, 1]
            assert [each.stale for each in gateway.store.after(0)] == [False, True]
            change = await gateway.changed(-1)
            while gateway.view.valid:  # woken without an event
                change = await asyncio.wait_for(gateway.changed(change), 3)
            assert gateway.view.cause is Cause.SILENCE

    asyncio.run(scenario())


def test_an_operator_who_takes_over_makes_the_line_offline(line: PublishingLine, tmp_path: Path) -> None:
    """While the page's file is there no verdict is valid, however well the worker is; also after a restart."""
    takeover = tmp_path / "takeover.json"
    settings = gateway_settings(line, tmp_path, gateway={"takeover": str(takeover)})
    lock = LineLock(AccessSection(plc_owns_line=True, takeover=takeover))  # of the operator's page

    async def scenario() -> None:
        async with running(settings, []) as gateway:
            await heard(gateway)
            lock.take_over("anna")
            await until(lambda: (gateway.view.valid, gateway.view.cause) == (False, Cause.OFFLINE), 30)
        async with running(settings, []) as gateway:
            assert gateway.view.cause is Cause.OFFLINE
            lock.give_back()
            await heard(gateway)

    async def heard(gateway: Gateway) -> None:
        def beat() -> bool:
            line.heartbeat()
            return gateway.view.valid

        await until(beat, 30)

    asyncio.run(scenario())


def test_a_restarted_gateway_recovers_what_it_missed(line: PublishingLine, tmp_path: Path) -> None:
    """Each result has one number over both runs; those published in between are stale."""

    async def run(action: str) -> list[tuple[int, int, bool]]:
        async with running(gateway_settings(line, tmp_path), []) as gateway:
            line.wait_for_subscriber()
            line.publish(part_id=action)
            line.heartbeat()
            await until(lambda: gateway.view.valid)
            return [(each.number, each.result.result_id, each.stale) for each in gateway.store.after(0)]

    assert asyncio.run(run("first")) == [(1, 1, False)]
    line.publish(lost=True)
    numbers = asyncio.run(run("second"))
    assert numbers == [(1, 1, False), (2, 2, True), (3, 3, False)]


def test_results_lost_for_good_are_counted_and_valid_again_with_the_next_state(
    line: PublishingLine, tmp_path: Path
) -> None:
    """Of a boot that is over nothing can be recovered: the view says how many results are lost."""

    async def scenario() -> None:
        async with running(gateway_settings(line, tmp_path), []) as gateway:
            line.wait_for_subscriber()
            line.heartbeat()
            await until(lambda: gateway.view.valid)
            line.mute = True
            line.publish(lost=True)
            line.heartbeat()
            await until(lambda: gateway.view.cause is Cause.GAP)
            line.restart("boot2")
            line.publish()
            await until(lambda: gateway.view.lost == 1)
            assert gateway.view.cause is Cause.GAP
            line.heartbeat()
            await until(lambda: gateway.view.valid)
            assert gateway.view.lost == 1

    asyncio.run(scenario())


def test_requests_reach_the_worker_and_its_refusal_comes_back(line: PublishingLine, tmp_path: Path) -> None:
    """Announced triggers are counted by camera, or numbered by the caller."""

    async def scenario() -> None:
        async with running(gateway_settings(line, tmp_path), []) as gateway:
            assert (await gateway.status()).recipes == ("bagel", "praline")
            await gateway.load_recipe("bagel")
            assert await gateway.announce("camera1", part_id="p", deadline_ms=250.0) == 0
            assert await gateway.announce("camera1") == 1
            assert await gateway.announce("camera2", seq=7) == 7
            line.refuse = "no such camera"
            with pytest.raises(RefusedError, match="no such camera"):
                await gateway.announce("camera3")

    asyncio.run(scenario())
    loads = [each.recipe for each in line.requests if isinstance(each, LoadRecipeRequest)]
    announced = [each for each in line.requests if isinstance(each, AnnounceRequest)]
    assert loads == ["bagel"]
    assert [(each.camera, each.trigger.seq) for each in announced][:3] == [
        ("camera1", 0),
        ("camera1", 1),
        ("camera2", 7),
    ]
    assert announced[0].trigger.deadline_ms == 250.0


class Failing:
    """Fails at its first runs, then stays."""

    def __init__(self, name: str, *errors: Exception) -> None:
        self.name = name
        self.runs = 0
        self._errors = list(errors)

    async def run(self, gateway: Gateway) -> None:
        self.runs += 1
        if self._errors:
            raise self._errors.pop(0)
        await asyncio.Event().wait()


def test_an_adapter_that_fails_is_counted_and_started_again(line: PublishingLine, tmp_path: Path) -> None:
    """Neither its own error nor our bug stops the others."""

    async def scenario() -> None:
        broken, buggy, fine = (
            Failing("a", AdapterError("gone")),
            Failing("b", ValueError("bug")),
            Failing("c"),
        )
        async with running(gateway_settings(line, tmp_path), [broken, buggy, fine]) as gateway:
            await until(lambda: broken.runs == buggy.runs == 2)
            assert fine.runs == 1
            assert gateway.counts["a", "failed"] == gateway.counts["b", "failed"] == 1

    asyncio.run(scenario())


def test_a_port_that_is_taken_at_the_start_ends_the_gateway(line: PublishingLine, tmp_path: Path) -> None:
    """The adapter's StartupError comes out of `run`."""

    async def scenario() -> None:
        gateway = Gateway(gateway_settings(line, tmp_path))
        await gateway.run([Failing("modbus", StartupError("port 502 is taken")), Failing("other")])

    with pytest.raises(StartupError, match="port 502 is taken"):
        asyncio.run(scenario())


class Deaf:
    """Loses its first cancellation, as `asyncio.wait_for` of Python 3.11 does when a result comes with it."""

    name = "deaf"

    async def run(self, gateway: Gateway) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()


def test_sigterm_ends_also_an_adapter_that_loses_a_cancellation(
    line: PublishingLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cancelled again; the process does not wait for systemd's SIGKILL."""
    monkeypatch.setattr("cmfm_gateway.run.CANCEL_AGAIN_S", 0.1)

    async def scenario() -> None:
        asyncio.get_running_loop().call_later(0.5, os.kill, os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await serve(gateway_settings(line, tmp_path), [Deaf()])

    asyncio.run(scenario())
