"""FAULTs in bulk, after a believed jump of the counter: real parts and heartbeats go first, and a drain balances."""

import time
from pathlib import Path

from structlog.testing import capture_logs
from tests.unit.made.service import Outside, line_settings, serve

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.errors import ExitCode
from cmfm_worker.line.service import Ended

JUMP = 6000


def serve_with(tmp_path: Path, act: object) -> tuple[Ended, Outside, dict[str, object]]:
    settings = line_settings(tmp_path)
    settings = settings.model_copy(update={"kept": settings.kept.model_copy(update={"which": "none"})})
    outside = Outside(settings, act)  # type: ignore[arg-type]
    with capture_logs() as lines:
        ended = serve(settings)
    outside.end()
    (stopped,) = (line for line in lines if line["event"] == "stopped")
    return ended, outside, dict(stopped)


def test_real_parts_go_before_faults_in_bulk(tmp_path: Path) -> None:
    """Parts that come while thousands of FAULTs are due have their verdict long before the last of these."""
    waited_s: list[float] = []

    def act(outside: Outside) -> None:
        outside.send(2)
        outside.listen(2)
        outside.send(2, first=JUMP)
        for seq in range(JUMP + 2, JUMP + 7):
            began_s = time.monotonic()
            outside.send(1, first=seq)
            while not any(result.seq == seq for result in outside.results):
                outside.listen(1)
            waited_s.append(time.monotonic() - began_s)
        outside.listen(JUMP + 7 - len(outside.results))
        outside.signal()

    ended, outside, stopped = serve_with(tmp_path, act)
    assert ended.code is ExitCode.OK
    assert stopped["identity_holds"]
    places = [place for place, result in enumerate(outside.results) if result.seq > JUMP]
    assert len(places) == 6
    assert all(outside.results[place].verdict is not Verdict.FAULT for place in places)
    assert places[-1] < len(outside.results) / 2, (places, waited_s)
    assert max(waited_s) < 2


def test_drain_with_faults_in_bulk_balances_and_ends_with_0(tmp_path: Path) -> None:
    """SIGTERM in the middle of them: each number has its FAULT, and the parts that are there their verdict."""

    def act(outside: Outside) -> None:
        outside.send(2)
        outside.listen(2)
        outside.send(3, first=JUMP)
        outside.listen(40)
        outside.signal()
        outside.listen(JUMP + 3 - len(outside.results))

    ended, outside, stopped = serve_with(tmp_path, act)
    assert ended.code is ExitCode.OK
    assert (stopped["triggers"], stopped["identity_holds"]) == (JUMP + 3, True)
    assert sorted(result.seq for result in outside.results) == list(range(JUMP + 3))
    assert {result.seq for result in outside.results if result.verdict is not Verdict.FAULT} == {
        0,
        1,
        JUMP + 1,
        JUMP + 2,
    }
    reasons = [result.reason for result in outside.results if result.verdict is Verdict.FAULT]
    assert sorted(set(reasons)) == [Reason.LOST, Reason.MALFORMED]
