"""A worker on the ledger of earlier boots: what was answered there, however long ago, is not answered again."""

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

from tests.unit.made.service import Outside, line_settings, serve
from tests.unit.made.verdicts import RESULT

from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.line.records.ledger.writer import Ledger

DAY_NS = 24 * 3600 * 10**9


def test_stream_of_days_ago_goes_on_behind_its_numbers(tmp_path: Path) -> None:
    """A camera that was silent over a long weekend sends a part of before again, then its next one."""
    settings = line_settings(tmp_path)
    before_ns = time.time_ns() - 3 * DAY_NS
    ledger = Ledger(tmp_path / "ledger.sqlite", flush_ms=10)
    for seq in range(3):
        ledger.append(replace(RESULT, result_id=seq + 1, stream_uuid="cam", seq=seq, done_ns=before_ns))
    ledger.close()

    def act(outside: Outside) -> None:
        outside.send(1, first=0)
        outside.send(1, first=3)
        outside.listen(2)
        outside.signal()

    outside = Outside(settings, act)
    serve(settings)
    outside.end()
    found = {(result.stream_uuid, result.seq): result for result in outside.results}
    assert set(found) == {(UNATTRIBUTED_STREAM, 0), ("cam", 3)}
    assert found[UNATTRIBUTED_STREAM, 0].verdict is Verdict.FAULT
    assert found["cam", 3].verdict is not Verdict.FAULT
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        twice = connection.execute("SELECT stream_uuid, seq FROM triggers GROUP BY 1, 2 HAVING COUNT(*) > 1")
        assert twice.fetchall() == []
