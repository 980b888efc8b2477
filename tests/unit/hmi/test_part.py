"""The page of one archived part: pictures, points, its place on other parts, the ledger, marks, replay, export."""

from __future__ import annotations

import io
import json
import re
import shutil
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.unit.made.archive import DEFECT, REGION, archive_part, domed_part
from tests.unit.made.page import PageClient, page_client, page_settings
from tests.unit.made.verdicts import result
from tests.unit.made.written_ledger import write_ledger

from cmfm_hmi.board.region_shares import shares_of
from cmfm_protocol.pictures.map_in_frame import MapInFrame
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.collected import read_product

JSON = {"Accept": "application/json"}


def picture_of(answer: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)


def test_page_shows_verdict_regions_and_pictures(tmp_path: Path) -> None:
    """Verdict, score against threshold, each region with its mm², and every picture of the frame's size."""
    folder = archive_part(tmp_path / "kept", domed_part(1, size_px=(120, 160)))
    with page_client(tmp_path) as client:
        client.log_in("view")
        page = client.get(f"/parts/{folder.name}").text
        assert "above the threshold" in page
        assert "3, threshold 1" in page
        assert "<td>12.5</td><td>3</td>" in page
        left, top, _, _ = MapInFrame(120, 160).box((90, 130, 111, 151))
        assert f'x="{left:.1f}" y="{top:.1f}"' in page
        assert client.get(f"/parts/{folder.name}/picture.png").content == (folder / "rgb.png").read_bytes()
        for kind in ("depth", "psi", "psi_2d", "psi_3d"):
            answer = client.get(f"/parts/{folder.name}/{kind}.png")
            assert answer.headers["content-type"] == "image/png"
            assert "immutable" in answer.headers["cache-control"]
            assert picture_of(answer).shape == (120, 160, 3)
        assert client.get(f"/parts/{folder.name}/points.bin").content[:4] == b"CMP1"


def test_peaks_are_shares_of_the_threshold() -> None:
    """The first region has the score's share, also where the recipe scales Ψ for its score; others in proportion."""
    regions = (replace(REGION, peak=9.0), replace(REGION, peak=4.5))
    part = result(1, Verdict.FAIL, score=4.0, threshold=2.0, regions=regions)
    assert shares_of(part) == (2.0, 1.0)
    assert shares_of(replace(part, threshold=None)) == (None, None)
    assert shares_of(replace(part, regions=())) == ()


def test_psi_glows_where_the_defect_is(tmp_path: Path) -> None:
    """The brightest place of Ψ's picture is the defect's place in the frame, also where the frame is not square."""
    folder = archive_part(tmp_path / "kept", domed_part(1, size_px=(150, 400)))
    with page_client(tmp_path) as client:
        client.log_in("view")
        shown = picture_of(client.get(f"/parts/{folder.name}/psi.png")).sum(axis=-1)
        row, col = (float(at.mean()) for at in np.nonzero(shown == shown.max()))
        place = MapInFrame(150, 400)
        expected = [
            (at + 0.5) * place.side / 224 - shift for at, shift in zip(DEFECT, place.offset, strict=True)
        ]
        assert abs(row - expected[0]) < 3
        assert abs(col - expected[1]) < 3


def test_unknown_parts_are_a_sentence(tmp_path: Path) -> None:
    """An invalid name, and a part that is gone, give 404 with a sentence; nothing outside the archive is read."""
    archive_part(tmp_path / "kept", domed_part(1))
    with page_client(tmp_path) as client:
        client.log_in("view")
        for name in ("kept", "20260202T024001000Z_b_9", "%2e%2e%2fkept", "%2e%2e"):
            for path in (
                "",
                "/picture.png",
                "/psi.png",
                "/points.bin",
                "/part.zip",
                "/place/0",
                "/frame.json",
            ):
                answer = client.get(f"/parts/{name}{path}", headers=JSON)
                assert answer.status_code == 404, (name, path)
                assert answer.json()["error"]


DAMAGES: dict[str, tuple[str, bytes | None, str]] = {
    "no picture": ("rgb.png", None, "rgb.png is missing"),
    "torn picture": ("rgb.png", b"", "rgb.png is empty"),
    "no points": ("xyz.tiff", None, "xyz.tiff is missing"),
    "torn result": ("result.json", b"{", "cannot be read as JSON"),
    "other result": ("result.json", b'{"kept_version": 9}', "kept_version is 9"),
}
"""The file, its content (None: gone), and what the page says."""


def test_torn_folder_is_a_page_with_a_sentence(tmp_path: Path) -> None:
    """A part of which something is missing has its page; the sentence names the file."""
    with page_client(tmp_path) as client:
        client.log_in("operate")
        for number, (damage, (file, content, says)) in enumerate(DAMAGES.items(), start=1):
            folder = archive_part(tmp_path / "kept", domed_part(number))
            (folder / file).unlink() if content is None else (folder / file).write_bytes(content)
            answer = client.get(f"/parts/{folder.name}")
            assert answer.status_code == 200, damage
            assert says in answer.text, damage


NEEDED = {
    "psi.png": ("psi.npy",),
    "psi_2d.png": ("psi_2d.npy", "psi.npy"),
    "depth.png": ("xyz.tiff",),
    "overview.jpg": ("rgb.png", "psi.npy"),
    "points.bin": ("rgb.png", "xyz.tiff", "psi.npy"),
}
"""The files that a picture is made from."""


def test_picture_of_a_torn_file_is_a_sentence(tmp_path: Path) -> None:
    """A picture that cannot be made says which file is why; the page goes on."""
    cases = [
        (kind, file, share) for kind, files in NEEDED.items() for file in files for share in (0.0, 0.01, 0.5)
    ]
    with page_client(tmp_path) as client:
        client.log_in("view")
        for number, (kind, file, share) in enumerate(cases, start=1):
            folder = archive_part(tmp_path / "kept", domed_part(number, size_px=(60, 80)))
            whole = (folder / file).read_bytes()
            (folder / file).write_bytes(whole[: int(len(whole) * share)])
            answer = client.get(f"/parts/{folder.name}/{kind}", headers=JSON)
            assert answer.status_code == 404, (kind, file, share)
            assert file in answer.json()["error"]
            assert client.get(f"/parts/{folder.name}").status_code == 200


def test_map_that_promises_too_much_is_a_sentence(tmp_path: Path) -> None:
    """A map file whose header promises terabytes, or another shape, is refused by its header."""
    folder = archive_part(tmp_path / "kept", domed_part(1))
    with page_client(tmp_path) as client:
        client.log_in("view")
        for shape in ("(1000000, 1000000)", "(10, 10)"):
            header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
            (folder / "psi.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + header.encode() + bytes(400))
            answer = client.get(f"/parts/{folder.name}/psi.png", headers=JSON)
            assert answer.status_code == 404
            assert "psi.npy" in answer.json()["error"]


def test_frame_that_was_exchanged_is_named(tmp_path: Path) -> None:
    """A picture that is not the inspected one is found by the recorded hash."""
    folder = archive_part(tmp_path / "kept", domed_part(1))
    other = archive_part(tmp_path / "other", domed_part(2))
    with page_client(tmp_path) as client:
        client.log_in("view")
        assert client.get(f"/parts/{folder.name}/frame.json", headers=JSON).json() == {"whole": True}
        shutil.copy(other / "rgb.png", folder / "rgb.png")
        answer = client.get(f"/parts/{folder.name}/frame.json", headers=JSON)
        assert answer.status_code == 503
        assert "are not the frame that was inspected" in answer.json()["error"]


def test_place_on_other_parts(tmp_path: Path) -> None:
    """The history counts the parts of the recipe and camera with a defect at the same place, and links them."""
    kept = tmp_path / "kept"
    same = [archive_part(kept, domed_part(i)) for i in (1, 2, 3)]
    archive_part(kept, domed_part(4, defect=(150, 80)))
    archive_part(kept, domed_part(5, recipe="cap"))
    archive_part(kept, domed_part(6, camera="south"))
    archive_part(kept, domed_part(7, Verdict.FAULT, score=None, with_maps=False))
    (same[0] / "psi.npy").write_bytes(b"torn")
    with page_client(tmp_path) as client:
        client.log_in("view")
        client.get("/rejects")
        fragment = client.get(f"/parts/{same[2].name}/place/0").text
        assert "2 of 3 parts reach the threshold here." in fragment
        assert f'href="/parts/{same[1].name}"' in fragment
        assert client.get(f"/parts/{same[2].name}/place/7").status_code == 404


def test_ledger_row_and_part_lead_to_one_another(tmp_path: Path) -> None:
    """The part links to its row; a row leads to its part, or says that it is not archived; an unknown one is 404."""
    part = domed_part(1)
    folder = archive_part(tmp_path / "kept", part)
    write_ledger(tmp_path / "ledger.sqlite", [part.result, domed_part(2).result])
    with page_client(tmp_path) as client:
        client.log_in("view")
        assert 'href="/ledger/b/1"' in client.get(f"/parts/{folder.name}").text
        row = client.get("/ledger/b/1").text
        assert f'href="/parts/{folder.name}"' in row
        assert "above_threshold" in row
        assert "not archived" in client.get("/ledger/b/2").text
        assert client.get("/ledger/b/3").status_code == 404
        assert (
            client.get("/parts/of/b/1", follow_redirects=False).headers["location"] == f"/parts/{folder.name}"
        )
        assert client.get("/parts/of/b/2", follow_redirects=False).headers["location"] == "/ledger/b/2"
        assert client.get(f"/parts/of/b/{10**40}", follow_redirects=False).status_code == 303


def test_locked_ledger_costs_the_row_alone(tmp_path: Path) -> None:
    """A ledger that is missing or damaged is a sentence; the part's page does not need it."""
    folder = archive_part(tmp_path / "kept", domed_part(1))
    (tmp_path / "ledger.sqlite").write_bytes(b"not a ledger" * 100)
    with page_client(tmp_path) as client:
        client.log_in("view")
        answer = client.get("/ledger/b/1")
        assert answer.status_code == 503
        assert "not a ledger" in answer.text
        assert client.get(f"/parts/{folder.name}").status_code == 200


def mark(client: PageClient, folder: Path, **fields: str) -> Any:
    given = {"use": "good", "product": "dome", "comment": "a glare"} | fields
    return client.post(f"/parts/{folder.name}/mark", given, headers=JSON, follow_redirects=False)


def test_wrong_call_joins_the_product_and_the_trace(tmp_path: Path) -> None:
    """A marked part is copied to the product with its mark, shown with name and comment, and in the trace."""
    folder = archive_part(tmp_path / "kept", domed_part(1))
    with page_client(tmp_path) as client:
        client.log_in("operate")
        assert mark(client, folder).status_code == 303
        (part,) = read_product(tmp_path / "collected", "dome").parts
        assert part.choice is not None
        assert (part.name, part.use, part.choice.by, part.choice.comment) == (
            folder.name,
            "good",
            "operate",
            "a glare",
        )
        assert (part.folder / "rgb.png").read_bytes() == (folder / "rgb.png").read_bytes()
        page = client.get(f"/parts/{folder.name}").text
        assert re.search(r"<strong>good</strong> – operate, [^<]*: “a glare”", page)
        assert "good: operate" in client.get("/rejects").text
        (entry,) = client.site.audit.newest()
        assert (entry.who, entry.what, entry.subject) == ("operate", "mark_good", f"dome/{folder.name}")
        assert (entry.before, entry.after) == ("FAIL (above_threshold)", "good: a glare")
        assert mark(client, folder, use="bad", comment="no, a dent").status_code == 303
        assert "<strong>bad</strong>" in client.get(f"/parts/{folder.name}").text
        assert len(read_product(tmp_path / "collected", "dome").used_as("bad")) == 1


def test_mark_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    """A product that is no name, an unknown use, a damaged frame: nothing is copied, and the reason is said."""
    folder = archive_part(tmp_path / "kept", domed_part(1))
    with page_client(tmp_path) as client:
        client.log_in("operate")
        for product in ("../../etc", "", "a/b", "x" * 100):
            answer = mark(client, folder, product=product)
            assert answer.status_code == 409
            assert "is not a product's name" in answer.json()["error"]
        assert mark(client, folder, use="maybe").status_code == 400
        (folder / "rgb.png").write_bytes(b"torn")
        answer = mark(client, folder)
        assert answer.status_code == 409
        assert "rgb.png" in answer.json()["error"]
        assert client.site.audit.newest()[0].what == "mark_failed"
    assert not (tmp_path / "etc").exists()
    assert not (tmp_path / "collected" / "dome" / "parts" / folder.name).exists()


def test_who_may_mark(tmp_path: Path) -> None:
    """Marks need the role operate, and a line that the page may change."""
    folder = archive_part(tmp_path / "kept", domed_part(1))
    with page_client(tmp_path) as client:
        assert mark(client, folder).status_code == 401
        client.log_in("view")
        assert mark(client, folder).status_code == 403
        assert "This was good" not in client.get(f"/parts/{folder.name}").text
    with page_client(tmp_path, page_settings(tmp_path, access={"plc_owns_line": True})) as client:
        client.log_in("operate")
        assert mark(client, folder).status_code == 423
        assert "This was good" not in client.get(f"/parts/{folder.name}").text


STUB = """#!/bin/sh
printf '%s\\n' "$*" >> "$0.calls"
cat "$0.says"
cat "$0.errors" >&2
exit $(cat "$0.code")
"""


def replayed(client: PageClient, folder: Path) -> str:
    """Replay a part, wait for the end, and return its page."""
    answer = client.post(f"/parts/{folder.name}/replay", headers=JSON)
    assert answer.status_code == 202
    give_up = time.monotonic() + 30
    while client.get(f"/parts/{folder.name}/replay", headers=JSON).json()["running"]:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return str(client.get(f"/parts/{folder.name}").text)


def test_replay_shows_the_outcome_of_the_command(tmp_path: Path) -> None:
    """The command gets the part's identity and the line's settings; each of its outcomes is shown in words."""
    folder = archive_part(tmp_path / "kept", domed_part(1))
    other = archive_part(tmp_path / "kept", domed_part(2))
    stub = tmp_path / "worker"
    stub.write_text(STUB)
    stub.chmod(0o755)
    outcome = {"verdict": "FAIL", "reason": "above_threshold", "score": 3.0}
    compared = {"part": "b/1", "in_ledger": True, "equal": True, "recorded": outcome, "replayed": outcome}
    compared |= {"maps_equal": True, "remarks": ["torch was 2.12, now it is 2.13"]}

    def says(text: str, code: int, errors: str = "") -> None:
        for name, content in (("says", text), ("errors", errors), ("code", str(code))):
            stub.with_name(f"worker.{name}").write_text(content)

    with page_client(tmp_path, page_settings(tmp_path, worker={"command": [str(stub)]})) as client:
        client.log_in("operate")
        says(json.dumps(compared), 0)
        page = replayed(client, folder)
        assert "Equal, bit for bit." in page
        assert "torch was 2.12, now it is 2.13" in page
        calls = stub.with_name("worker.calls").read_text()
        assert calls == f"replay-part --config {tmp_path / 'line.toml'} --json -- b/1\n"
        assert "bit for bit." in client.get(f"/parts/{other.name}").text  # the explanation, and no outcome
        assert "Equal, bit for bit." not in client.get(f"/parts/{other.name}").text
        says(json.dumps(compared | {"equal": False, "replayed": outcome | {"score": 2.5}}), 1)
        page = replayed(client, folder)
        assert "The outcome differs." in page
        assert "2.5" in page
        says("", 2, "recipe 'dome' has changed since")
        assert "The replay failed: recipe &#39;dome&#39; has changed since" in replayed(client, folder)
        says("{}", 0)
        assert "The replay failed" in replayed(client, folder)


def test_export_of_one_part(tmp_path: Path) -> None:
    """The ZIP holds the folder, which a line's tools read again."""
    folder = archive_part(tmp_path / "kept", domed_part(1))
    with page_client(tmp_path) as client:
        client.log_in("view")
        answer = client.get(f"/parts/{folder.name}/part.zip")
        assert f'filename="{folder.name}.zip"' in answer.headers["content-disposition"]
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert {Path(name).name for name in archive.namelist()} == {
                file.name for file in folder.iterdir()
            }
