"""The Teach page without a browser: what it says about parts, teaching and outcome, and what it refuses."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.archive import archive_part, domed_part
from tests.unit.made.page import PageClient, page_client, page_settings

from cmfm_hmi.commands import RunningCommand
from cmfm_hmi.teaching.outcome import read_outcome
from cmfm_hmi.teaching.products import SHOWN_PARTS, Products
from cmfm_hmi.teaching.progress import progress_of
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_records.collected import read_product
from cmfm_settings.errors import InputError

LIMIT_S = 30


def collect(folder: Path, count: int, product: str = "cap") -> list[str]:
    """Collect parts of a product below `folder`; returns their names."""
    parts = folder / "collected" / product / "parts"
    for number in range(1, count + 1):
        archive_part(parts, domed_part(number, Verdict.FAULT, reason=Reason.UNKNOWN_RECIPE, recipe=product))
    return sorted(part.name for part in parts.iterdir())


def write_outcome(folder: Path, name: str = "cap", **changes: Any) -> Path:
    """Write the report of a taught recipe; `changes` replace keys of preview.json."""
    report = folder / "recipes" / ".taught" / name / "report"
    report.mkdir(parents=True, exist_ok=True)
    rate = {
        "false_reject_rate": 0.05,
        "interval": [0.003, 0.2],
        "fail_at": 1.5,
        "caught": {"count": 6, "of": 12},
    }
    worst = {"part": "p7", "score": 1.4, "picture": "good-1-p7.png"}
    (report / "report.json").write_text(
        json.dumps({"threshold": {"fail_at": 1.5}, "rates": [rate], "look_at": [worst]})
    )
    previewed = {
        "part": "x",
        "use": "good",
        "done_ns": 1,
        "reason": "unknown_recipe",
        "score": None,
        "new_score": 2.0,
    }
    previewed |= {"seen": "new", "verdict": "FAULT", "new_verdict": "FAIL"}
    preview = {
        "taught_from": ["a"] * 28,
        "remarks": ["<b>look</b>"],
        "counts": {"PASS": 8, "FAIL": 1, "UNDECIDED": 0, "FAULT": 0},
        "changed": 1,
        "bad": {"parts": 2, "pass": 1},
        "parts": [previewed, previewed | {"seen": "taught"}, previewed | {"new_verdict": "FAULT"}],
    }
    (report / "preview.json").write_text(json.dumps(preview | changes))
    (report / "good-1-p7.png").write_bytes(b"picture")
    return report


def state(client: PageClient, product: str = "cap") -> dict[str, Any]:
    answer = client.get(f"/teach/{product}/state")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_parts_are_counted_and_chosen(tmp_path: Path) -> None:
    """A tick and a "bad" are decisions with a name; the revision changes with each, so that the page draws anew."""
    first, second, *_ = collect(tmp_path, 4)
    with page_client(tmp_path) as client:
        client.log_in("teach")
        before = state(client)
        assert (before["good"], before["least"], before["enough"]) == (4, 20, 100)
        for part, use in ((first, "bad"), (second, "left_out")):
            assert client.post("/teach/cap/choose", {"part": part, "use": use}).status_code == 200
        after = state(client)
        assert (after["good"], after["bad"], after["left_out"]) == (2, 1, 1)
        assert after["revision"] != before["revision"]
        rows = {row["name"]: row for row in client.get("/teach/cap/parts").json()["parts"]}
        assert (rows[first]["use"], rows[first]["by"]) == ("bad", "teach")
        picture = client.get(f"/teach/cap/parts/{first}.jpg")
        assert picture.content[:2] == b"\xff\xd8"
        changes = [(entry.who, entry.what, entry.before, entry.after) for entry in client.site.audit.newest()]
        assert ("teach", "collected_part", "good", "bad") in changes


def test_strip_shows_odd_parts_first(tmp_path: Path) -> None:
    """Then the newest; how many more there are is said."""
    names = collect(tmp_path, SHOWN_PARTS + 12)
    facts = tmp_path / "collected" / "cap" / "parts" / names[3] / "result.json"
    told = json.loads(facts.read_text())
    facts.write_text(json.dumps(told | {"size_px": [1, 1]}))
    strip = Products(tmp_path / "collected").view("cap").strip()
    shown = [part["name"] for part in strip["parts"]]
    assert shown[:3] == [names[3], names[-1], names[-2]]
    assert strip["parts"][0]["odd"] == ["size"]
    assert (len(shown), strip["more"]) == (SHOWN_PARTS + 1, 11)


@pytest.mark.parametrize("name", ["%2E%2E", ".hidden", "a%2F..%2Fb", "x" * 65, "a b"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    """Neither as a product nor as a part; the sentence names it, and nothing is made."""
    with page_client(tmp_path) as client:
        client.log_in("teach")
        assert client.get(f"/teach/{name}/state").status_code == 404
        assert client.post(f"/teach/{name}/teach").status_code == 404
        assert client.get("/teach/cap/parts/..%2F..%2Fx.jpg").status_code == 404
        assert client.get("/teach/cap/worst/..%2F..%2Frecipe.toml").status_code == 404
        refused = client.post("/teach/cap/choose", {"part": "../x", "use": "good"})
        assert refused.status_code == 503
        assert "no collected part" in refused.json()["error"]
    assert not (tmp_path / "collected").exists()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"count": "0", "every": "1"}, 400),
        ({"count": "100001", "every": "1"}, 400),
        ({"count": "1e3", "every": "1"}, 400),
        ({"count": "5", "every": "-1"}, 400),
        ({"count": "5"}, 400),
        ({"count": "5", "every": "1", "frames_of": "../x"}, 400),
        ({"count": "5", "every": "1"}, 503),  # the worker is away
    ],
)
def test_collecting_is_asked_with_sense(
    tmp_path: Path, fields: dict[str, str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers out of range are refused with the range, and a worker that is away with a sentence."""
    monkeypatch.setattr("cmfm_hmi.pages.teach.COLLECT_LIMIT_S", 0.3)
    with page_client(tmp_path) as client:
        client.log_in("teach")
        answer = client.post("/teach/cap/collect", fields)
        assert answer.status_code == status
        assert answer.json()["error"]


def test_only_teachers_teach_and_nobody_while_a_plc_owns_the_line(tmp_path: Path) -> None:
    """An operator sees no page of it; a read-only line refuses each change with 423."""
    settings = page_settings(tmp_path, access={"plc_owns_line": True})
    with page_client(tmp_path, settings) as client:
        assert client.http.get("/teach/cap/state").status_code == 401
        client.log_in("operate")
        assert client.get("/teach/cap").status_code == 403
    with page_client(tmp_path, settings) as client:
        client.log_in("teach")
        assert client.get("/teach/cap").status_code == 200
        for path in ("collect", "stop", "choose", "teach", "cancel", "use"):
            assert client.post(f"/teach/cap/{path}", {"count": "1", "every": "1"}).status_code == 423


def test_teaching_that_fails_says_why(tmp_path: Path) -> None:
    """The command's last words are on the page; nothing is in use."""
    script = tmp_path / "worker.py"
    script.write_text("import sys; sys.exit('cap: too few parts: 4 good parts, 20 are needed')")
    settings = page_settings(tmp_path, worker={"command": [sys.executable, str(script)]})
    with page_client(tmp_path, settings) as client:
        client.log_in("teach")
        assert state(client)["teach"] == {"state": "idle"}
        assert client.post("/teach/cap/teach").status_code == 202
        give_up = time.monotonic() + LIMIT_S
        while (found := state(client)["teach"])["state"] == "running":
            assert time.monotonic() < give_up
        assert found == {"state": "failed", "error": "cap: too few parts: 4 good parts, 20 are needed"}
        assert state(client, "lid")["teach"] == {"state": "idle"}
        assert client.post("/teach/cap/use").status_code == 409  # nothing was taught


def test_outcome_is_shown_and_what_is_used_is_what_was_seen(tmp_path: Path) -> None:
    """Words of the worker are escaped; a recipe taught meanwhile is not used unseen."""
    write_outcome(tmp_path)
    with page_client(tmp_path) as client:
        client.log_in("teach")
        page = client.get("/teach/cap/outcome").text
        for words in (
            "from 28 parts",
            "&lt;b&gt;look",
            "0.3 – 20.0 %",
            "6 / 12",
            "Of 2 parts called bad, 1 would PASS",
        ):
            assert words in page
        assert (
            page.count("<tr>") + page.count('<tr class="chosen">') == 4
        )  # two heads, a rate, a changed part
        assert client.get("/teach/cap/worst/good-1-p7.png").content == b"picture"
        assert client.post("/teach/cap/use", {"outcome": "another"}).status_code == 409


@pytest.mark.parametrize("damage", [{"parts": None}, {"counts": 3, "parts": [{}]}, {"remarks": 5}])
def test_damaged_report_is_a_sentence(tmp_path: Path, damage: dict[str, Any]) -> None:
    """It names the folder; the page goes on."""
    write_outcome(tmp_path, **damage)
    with pytest.raises(InputError, match="is not the report"):
        read_outcome(tmp_path / "recipes", "cap")
    with page_client(tmp_path) as client:
        client.log_in("teach")
        assert client.get("/teach/cap/outcome").status_code == 503
        assert state(client)["outcome"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"", ("start", 1)),
        (b"not json\n[]\n", ("start", 1)),
        (b'{"event": "progress", "stage": "fit", "done": 3, "total": 9}\n{"event": "progr', ("fit", 5)),
        (b'{"event": "progress", "stage": "unheard", "done": 1, "total": 1}\n', ("start", 1)),
        (b'{"event": "progress", "stage": "fit", "done": 3, "total": 9}\n' + b"x" * 10_000, ("fit", 5)),
    ],
)
def test_progress_is_read_from_torn_output(output: bytes, expected: tuple[str, int]) -> None:
    """The newest whole line counts, whatever else the command printed."""
    command = RunningCommand("teach", ("teach", "--product", "cap"))
    command.output += output
    found = progress_of(command, "cap")
    assert (found["state"], found["stage"], found["number"]) == ("running", *expected)
    assert progress_of(command, "lid") == {"state": "busy", "product": "cap"}


def test_decisions_of_the_page_are_those_that_teaching_reads(tmp_path: Path) -> None:
    """A part that is unticked here is not among the good parts there."""
    name, *_ = collect(tmp_path, 2)
    with page_client(tmp_path) as client:
        client.log_in("teach")
        client.post("/teach/cap/choose", {"part": name, "use": "left_out", "comment": "a shadow"})
    product = read_product(tmp_path / "collected", "cap")
    assert name not in {part.name for part in product.used_as("good")}
    assert [part.choice.comment for part in product.parts if part.choice is not None] == ["a shadow"]
