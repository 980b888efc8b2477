"""docs/plc.md and the OPC UA server agree: content keys, causes, error codes, limits, refusals."""

import re
from pathlib import Path

from tests.unit.made.line_messages import result

from cmfm_gateway.line_view import Cause
from cmfm_gateway.opcua.errors import ErrorCode
from cmfm_gateway.opcua.nodes import BAD_STATUS, GOOD
from cmfm_gateway.opcua.result_content import Announced, content
from cmfm_gateway.opcua.results import MAX_RESULTS
from cmfm_gateway.opcua.serving import limits
from cmfm_gateway.opcua.serving.refusals import CAUSES, status_name
from cmfm_gateway.opcua.users import LoginLimit
from cmfm_gateway.store import StoredResult
from cmfm_protocol.wire.verdict import Verdict

DOCUMENT = (Path(__file__).parents[4] / "docs" / "plc.md").read_text(encoding="utf-8")
SECTION = DOCUMENT.split("\n## OPC UA\n")[1].split("\n## ")[0]


def table(heading: str) -> list[list[str]]:
    """Cells of the table below a heading, without its head."""
    block = SECTION.split(f"### {heading}\n")[1].split("\n### ")[0]
    rows = [line.strip("|").split("|") for line in block.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_keys_of_a_result_are_those_of_the_table() -> None:
    """In the same order."""
    stored = StoredResult(1, result(0, Verdict.PASS), 1, stale=False)
    keys = [name for name, _ in content(Announced(stored, valid=True, job=None))]
    assert [key for row in table("Results") for key in re.findall(r"`(\w+)`", row[0])] == keys


def test_each_cause_has_its_status_in_the_table() -> None:
    """As clients see it."""
    documented = {
        cause: row[2]
        for row in table("When the line is not valid")
        for cause in re.findall(r"`(\w+)`", row[0])
    }
    served = {
        str(cause): status_name(status)
        for cause, status in BAD_STATUS.items()
        if status != GOOD and cause is not Cause.OFFLINE
    }
    assert documented == served


def test_error_codes_limits_and_refusals_are_documented() -> None:
    """Numbers of the code stand in the text."""
    for code in ErrorCode:
        assert str(int(code)).replace("-", "−") in SECTION
    rows = " ".join(" ".join(row) for row in table("Limits"))
    for value in (
        limits.MAX_MESSAGE_BYTES // 1024,
        limits.MAX_SETUP_BYTES // 1024,
        limits.MAX_UNACTIVATED,
        limits.MAX_SUBSCRIPTIONS_PER_SESSION,
        limits.MAX_ITEMS_PER_SUBSCRIPTION,
        limits.MAX_SELECT_CLAUSES,
        limits.MAX_WHERE_ELEMENTS,
        int(limits.ACTIVATION_S),
        LoginLimit.FAILURES,
        int(LoginLimit.PAUSE_S),
    ):
        assert re.search(rf"\b{value}\b", rows), value
    assert f"{MAX_RESULTS} results fit a page" in SECTION
    assert set(CAUSES) <= set(re.findall(r"`(\w+)`", SECTION))
