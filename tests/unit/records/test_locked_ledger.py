"""A ledger that another program keeps locked is a sentence that says so, never a damaged file and never read anyway."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.made.page import page_client, page_settings
from tests.unit.made.verdicts import result
from tests.unit.made.written_ledger import write_ledger

from cmfm_records.ledger import Question, open_ledger
from cmfm_settings.errors import InputError


@contextmanager
def locked(path: Path, journal: str) -> Iterator[None]:
    """Keep a ledger locked, as a backup or a person's SQL shell may."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_locked_ledger_is_said_to_be_locked(tmp_path: Path, journal: str) -> None:
    """Afterwards it is read as before."""
    path = write_ledger(tmp_path / "ledger.sqlite", [result(1)])
    with (
        locked(path, journal),
        pytest.raises(InputError, match="another program has locked it"),
        open_ledger(path, wait_s=0.1),
    ):
        pass
    with open_ledger(path) as reader:
        assert len(list(reader.rows(Question()))) == 1


def test_pages_say_that_the_ledger_is_locked(tmp_path: Path) -> None:
    """In the page's language, soon, and without an error of the page itself."""
    path = write_ledger(tmp_path / "ledger.sqlite", [result(1)])
    settings = page_settings(tmp_path, records={"ledger": str(path), "query_s": 0.5})
    with page_client(tmp_path, settings) as client, locked(path, "WAL"):
        client.log_in("administer")
        headers = {"Accept": "text/html", "Accept-Language": "de"}
        for address in ("/audit", "/ledger/boot/1", "/parts/of/boot/1"):
            answer = client.http.get(address, headers=headers)
            assert "another program has locked it" in answer.text, address
            assert "Die Aufzeichnungen sind nicht lesbar" in answer.text, address
        assert not client.site.events["page_failed"]
