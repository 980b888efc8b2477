"""Files of a chaos run, made by hand: triggers, a ledger, a record."""

import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from cmfm_client.events import Received
from cmfm_client.result_log import ResultLog
from cmfm_protocol.wire.result import Result
from cmfm_sim.trigger_log import TriggerLog, TriggerRecord

ROW = ("boot_id", "result_id", "stream_uuid", "seq", "verdict", "reason", "part_id", "done_ns")


def write_triggers(path: Path, triggers: Iterable[TriggerRecord]) -> Path:
    with TriggerLog(path) as log:
        for trigger in triggers:
            log.trigger(trigger)
            if not trigger.sent:
                log.not_sent(*trigger.key)
    return path


def write_ledger(path: Path, results: Iterable[Result], **endings: str) -> Path:
    """Write a ledger; `endings` gives the ending of each boot, "clean" by default."""
    results = list(results)
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE triggers ({', '.join(ROW)})")
    connection.execute("CREATE TABLE boots (boot_id, ending, rows_lost)")
    for boot in {result.boot_id for result in results}:
        connection.execute("INSERT INTO boots VALUES (?, ?, 0)", (boot, endings.get(boot, "clean")))
    for result in results:
        values = [asdict(result)[name] for name in ROW]
        connection.execute("INSERT INTO triggers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    connection.commit()
    connection.close()
    return path


def write_record(path: Path, results: Iterable[Result]) -> Path:
    with ResultLog(path) as log:
        for result in results:
            log.write(Received(result, None))
    return path
