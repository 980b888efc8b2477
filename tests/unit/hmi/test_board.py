"""The board of the live page: counts, messages, pictures, and browsers that are many or slow."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.line_messages import result, worker_state
from tests.unit.made.made_maps import maps_of
from tests.unit.made.page import page_client, page_settings
from tests.unit.made.written_ledger import write_ledger

from cmfm_hmi.board import board as board_module
from cmfm_hmi.board import stream as stream_module
from cmfm_hmi.board.board import STRIP, BoardState, LiveBoard
from cmfm_hmi.board.counts import MINUTE_NS, Counts, count_ledger, shift_start_ns, total
from cmfm_hmi.board.facts import camera_facts, state_facts
from cmfm_hmi.board.pictures import LivePictures
from cmfm_hmi.board.stream import BoardStream
from cmfm_hmi.history import History
from cmfm_hmi.line.live_line import RESULTS_KEPT, LineSnapshot, LiveLine
from cmfm_hmi.settings.page import PageSection
from cmfm_hmi.settings.records import RecordsSection
from cmfm_protocol.wire.state import SourceState
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.ledger import open_ledger

LIMIT_S = 30.0


@asynccontextmanager
async def running_board(tmp_path: Path) -> Any:
    """A board over a line that the test fills, with the ledger in the folder."""
    live, history = LiveLine(), History(RecordsSection(ledger=tmp_path / "ledger.sqlite"))
    live.attach(asyncio.get_running_loop())
    board = LiveBoard(live, history, LivePictures(live), PageSection(refresh_hz=20))
    board.start()
    try:
        yield board
    finally:
        await board.end()
        history.close()


async def until(condition: Callable[[], object]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s, "the condition never held"
        await asyncio.sleep(0.01)


def told(state: BoardState, seen: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(state.message(seen).decode().removeprefix("data: "))
    return content


def test_a_browser_gets_each_part_once_and_again_with_its_picture(tmp_path: Path) -> None:
    """The first message has the whole strip, later ones what changed: new parts, and parts whose maps came."""

    async def scenario() -> None:
        async with running_board(tmp_path) as board:
            board.watch()
            results = [result(number, Verdict.FAIL) for number in range(STRIP + 10)]
            board.live.add_results(results)
            await until(lambda: len(board.state.parts) == STRIP)
            first = board.state
            assert [part["id"] for part in told(first, -1)["parts"]] == list(range(11, STRIP + 11))
            assert told(first, first.version)["parts"] == []
            board.live.keep_maps(maps_of(results[-1]))
            board.live.add_results([result(STRIP + 10)])
            await until(lambda: len(told(board.state, first.version)["parts"]) == 2)
            changed = {part["id"]: part["picture"] for part in told(board.state, first.version)["parts"]}
            assert changed == {STRIP + 10: True, STRIP + 11: False}

    asyncio.run(scenario())


def test_ages_come_without_events(tmp_path: Path) -> None:
    """A silent line has a new message each second: its browser learns that the worker is away."""

    async def scenario() -> None:
        async with running_board(tmp_path) as board:
            board.watch()
            seen = -1
            for _ in range(3):
                async with asyncio.timeout(LIMIT_S):
                    state = await board.newer(seen)
                assert state is not None
                assert state.version > seen
                seen = state.version
            assert told(board.state, -1)["head"]["line"]["phase"] == "unknown"

    asyncio.run(scenario())


def test_counts_are_those_of_the_ledger_and_of_what_came_since(tmp_path: Path) -> None:
    """No part is counted twice where ledger and line overlap, and none is left out."""
    now_ns = time.time_ns()
    recorded = [result(number, done_ns=now_ns - (20 - number) * 1000) for number in range(20)]
    ledger = write_ledger(tmp_path / "ledger.sqlite", recorded)
    counts = Counts()
    for each in recorded[10:]:
        counts.add(each)
    counts.begin_recount()
    known = tuple(reversed(recorded[10:]))
    counts.add(recorded[-1])  # came between the two
    counts.add(result(20, Verdict.FAIL, done_ns=now_ns))  # comes while the ledger is asked
    with open_ledger(ledger) as reader:
        until_ns = known[-1].done_ns
        counts.recounted(count_ledger(reader, 0, until_ns), until_ns, known)
    for each in recorded[:5]:
        counts.add(each)  # recovered after the ledger had counted them
    counts.add(result(21, Verdict.FAULT, done_ns=now_ns))
    found = total(counts.by_recipe(now_ns - 10 * MINUTE_NS).values())
    assert found == {"PASS": 20, "FAIL": 1, "UNDECIDED": 0, "FAULT": 1}
    counts.forget_before(now_ns // MINUTE_NS + 1)
    assert not counts.by_recipe(0)


def test_the_board_counts_the_ledger_by_itself_and_says_if_it_cannot(tmp_path: Path) -> None:
    """Parts of the hour are there after a restart of the page; without a ledger the head says why not."""
    now_ns = time.time_ns()

    async def scenario() -> None:
        async with running_board(tmp_path) as board:
            board.watch()
            await until(lambda: "no such file" in str(told(board.state, -1)["head"].get("ledger_problem")))
            assert not told(board.state, -1)["head"]["from_ledger"]
        write_ledger(tmp_path / "ledger.sqlite", [result(number, done_ns=now_ns) for number in range(5)])
        async with running_board(tmp_path) as board:
            board.watch()
            await until(lambda: told(board.state, -1)["head"].get("hour", {}).get("PASS") == 5)
            board.live.add_results([result(5, done_ns=time.time_ns())])
            await until(lambda: told(board.state, -1)["head"]["hour"]["PASS"] == 6)

    asyncio.run(scenario())


def test_the_shift_is_the_one_that_began_last() -> None:
    """At any minute of the day, also before the first shift of the day, and at its very start."""
    starts = ("06:00", "14:00", "22:00")
    for minute in range(0, 24 * 60, 7):
        now_s = time.mktime((2026, 3, 4, 0, minute, 0, 0, 0, -1))
        begin = time.localtime(shift_start_ns(int(now_s * 1e9), starts) / 1e9)
        hour = 22 if minute < 360 else 6 if minute < 840 else 14 if minute < 1320 else 22
        assert (begin.tm_hour, begin.tm_min) == (hour, 0)
        assert 0 <= now_s - time.mktime(begin) < 8 * 3600


def test_ages_of_cameras_follow_the_workers_clock() -> None:
    """A worker whose clock is a year off tells the same ages: a page never compares two machines' clocks."""
    year_ns = 365 * 86_400 * 1_000_000_000
    sources = (SourceState("tcp://a", "s", True, year_ns, year_ns - 5_000_000_000, "left"),)
    state = worker_state({})
    changed = replace(state, sources=sources, sent_ns=year_ns)
    snapshot = LineSnapshot(state=changed, heard_s=time.monotonic(), alive=True)
    (camera,) = camera_facts(snapshot)
    assert camera["name"] == "left"
    assert camera["frame_s"] == pytest.approx(5.0, abs=0.5)
    silent = replace(changed, sources=(SourceState("tcp://a", "", False, 0),))
    never = LineSnapshot(state=silent, alive=True)
    assert camera_facts(never)[0]["frame_s"] is None
    assert state_facts(LineSnapshot(state=changed, alive=False))["phase"] == "silent"


def test_results_stand_by_the_time_of_their_verdict() -> None:
    """A recovered result takes its place among the newer ones; only the newest are kept."""
    live = LiveLine()
    live.add_results([result(number) for number in range(5) if number != 2])
    live.add_results([result(2)])
    assert [each.seq for each in live.snapshot().results] == [4, 3, 2, 1, 0]
    live.add_results([result(number) for number in range(5, RESULTS_KEPT + 50)])
    assert len(live.snapshot().results) == RESULTS_KEPT
    assert live.snapshot().results[0].seq == RESULTS_KEPT + 49


class Reader:
    """A browser's side of a stream: takes messages when it is told to, and may go."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.reads = asyncio.Event()
        self.gone = asyncio.Event()
        self.may_look = True

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            await self.reads.wait()
            self.taken.append(message["body"])

    async def receive(self) -> dict[str, str]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    def serve(self, board: LiveBoard) -> Awaitable[None]:
        return BoardStream(board, lambda: self.may_look)({"type": "http"}, self.receive, self.send)


def test_a_slow_browser_holds_nobody_up_and_gets_the_newest(tmp_path: Path) -> None:
    """While one reads nothing others go on; when it reads again it gets one message, not all that it missed."""

    async def scenario() -> None:
        async with running_board(tmp_path) as board:
            slow, quick = Reader(), Reader()
            quick.reads.set()
            tasks = [asyncio.ensure_future(reader.serve(board)) for reader in (slow, quick)]
            for number in range(20):
                board.live.add_results([result(number)])
                await asyncio.sleep(0.06)
            await until(lambda: len(quick.taken) > 10)
            assert slow.taken == []
            slow.reads.set()
            await until(lambda: len(slow.taken) >= 2)
            assert len(json.loads(slow.taken[1].decode().removeprefix("data: "))["parts"]) == 20
            for reader in (slow, quick):
                reader.gone.set()
            await asyncio.gather(*tasks)
            assert board.watchers == 0

    asyncio.run(scenario())


def test_a_browser_that_takes_nothing_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is free again after a while."""
    monkeypatch.setattr(stream_module, "SEND_LIMIT_S", 0.2)

    async def scenario() -> None:
        async with running_board(tmp_path) as board:
            async with asyncio.timeout(LIMIT_S):
                await Reader().serve(board)
            assert board.watchers == 0

    asyncio.run(scenario())


def test_a_stream_ends_with_its_session(tmp_path: Path) -> None:
    """Who logs out on one tab sees no further part on another."""

    async def scenario() -> None:
        async with running_board(tmp_path) as board:
            reader = Reader()
            reader.reads.set()
            task = asyncio.ensure_future(reader.serve(board))
            await until(lambda: len(reader.taken) > 2)
            reader.may_look = False
            async with asyncio.timeout(LIMIT_S):
                await task
            assert reader.taken[-1] == b""

    asyncio.run(scenario())


def test_one_page_too_many_is_told_so(tmp_path: Path) -> None:
    """Streams are bounded by the settings; the sentence says what to do."""
    settings = page_settings(tmp_path, page={"browsers": 3}, access={"anonymous_may_view": True})
    with page_client(tmp_path, settings) as client:
        for _ in range(3):
            client.site.board.watch()
        refused = client.http.get("/live/events")
        assert refused.status_code == 503
        assert "Close one" in refused.json()["error"]
        for _ in range(3):
            client.site.board.unwatch()


@pytest.mark.parametrize(
    "query", ["", "?boot=a&id=x", "?boot=a&id=-1", "?boot=../../etc&id=1", "?boot=a&id=" + "9" * 5000]
)
def test_a_picture_that_is_not_there_is_a_sentence(tmp_path: Path, query: str) -> None:
    """404, whatever is asked for."""
    with page_client(tmp_path, page_settings(tmp_path, access={"anonymous_may_view": True})) as client:
        answer = client.http.get(f"/live/picture{query}")
        assert answer.status_code == 404
        assert "not here" in answer.json()["error"]


def test_a_board_that_fails_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the feed, and one of the board's own, end its task: the process ends, and a supervisor starts it."""

    async def of_the_feed() -> None:
        async with running_board(tmp_path) as board:
            board.live.failure = ValueError("the feed")
            await asyncio.wait({board.following}, timeout=LIMIT_S)
            assert isinstance(board.following.exception(), ValueError)

    async def of_its_own() -> None:
        async with running_board(tmp_path) as board:
            monkeypatch.setattr(board_module, "part_facts", lambda *_, **__: 1 / 0)
            board.watch()
            board.live.add_results([result(0)])
            await asyncio.wait({board.following}, timeout=LIMIT_S)
            assert isinstance(board.following.exception(), ZeroDivisionError)

    asyncio.run(of_the_feed())
    asyncio.run(of_its_own())
