"""The gallery of archived parts: filters, pages, torn folders, an archive that is away, the export."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from tests.unit.made.archive import archive_part, domed_part, done_ns
from tests.unit.made.page import PageClient, page_client

from cmfm_hmi.pages.rejects import AGES_S, PARTS_A_PAGE, read_filter
from cmfm_hmi.rendering import when
from cmfm_protocol.wire.verdict import Reason, Verdict


def cards(page: str) -> list[int]:
    """The result ids of a gallery's parts, in its order."""
    return [int(name) for name in re.findall(r'<a href="/parts/\w+_b_(\d+)"', page)]


def look(client: PageClient, query: str = "") -> str:
    answer = client.get(f"/rejects{query}")
    assert answer.status_code == 200
    return str(answer.text)


def test_gallery_shows_and_filters(tmp_path: Path) -> None:
    """The newest part first, with verdict and reason in words; recipe, reason, camera and part id filter."""
    kept = tmp_path / "kept"
    archive_part(kept, domed_part(1))
    archive_part(kept, domed_part(2, recipe="cap", camera="south"))
    archive_part(kept, domed_part(3, Verdict.UNDECIDED, reason=Reason.GREY_BAND))
    with page_client(tmp_path) as client:
        client.log_in("view")
        page = look(client)
        assert cards(page) == [3, 2, 1]
        assert "too close to the threshold" in page
        assert "3 archived parts" in page
        assert cards(look(client, "?recipe=cap")) == [2]
        assert cards(look(client, "?reason=grey_band")) == [3]
        assert cards(look(client, "?camera=north")) == [3, 1]
        assert cards(look(client, "?verdict=FAIL&part=p0")) == [1]
        assert "No archived part matches" in look(client, "?recipe=nothing")


def test_period_is_in_the_lines_time(tmp_path: Path) -> None:
    """A part is found between the minutes that the page itself shows for it; an invalid time is named."""
    archive_part(tmp_path / "kept", domed_part(1))
    archive_part(tmp_path / "kept", domed_part(400))
    since, until = (when(done_ns(400) + shift * 10**9, "%Y-%m-%dT%H:%M") for shift in (0, 60))
    with page_client(tmp_path) as client:
        client.log_in("view")
        assert cards(look(client, f"?from={since}&to={until}")) == [400]
        assert cards(look(client, f"?to={since}")) == [1]
        page = look(client, "?from=yesterday&age=long")
        assert cards(page) == [400, 1]
        assert "“yesterday” means nothing as “From”" in page
        assert "“long” means nothing as “Period”" in page
        assert cards(look(client, "?age=1h")) == []


@pytest.mark.parametrize("age", AGES_S)
def test_period_ends_now(age: str) -> None:
    """A period starts so many hours before now, by the server's clock."""
    now_ns = done_ns(0)
    assert read_filter({"age": age}, now_ns).filter.since_ns == now_ns - AGES_S[age] * 10**9


def test_times_beyond_the_calendar_are_no_error(tmp_path: Path) -> None:
    """Whatever stands in the field, the gallery answers."""
    archive_part(tmp_path / "kept", domed_part(1))
    with page_client(tmp_path) as client:
        client.log_in("view")
        for text in ("9999-12-31T23:59", "0001-01-01T00:00", "2026-02-30T10:00", "x" * 5000):
            look(client, f"?from={text}&to={text}")


def test_pages_join_without_gap(tmp_path: Path) -> None:
    """The links lead through all parts and back to the first page, which is always full."""
    first = archive_part(tmp_path / "kept", domed_part(1, size_px=(20, 20), with_maps=False))
    for i in range(2, PARTS_A_PAGE + 7):
        name = first.name.replace("000Z_b_1", f"{i:03d}Z_b_{i}")
        shutil.copytree(first, first.with_name(name))
        text = (first / "result.json").read_text().replace('"result_id": 1,', f'"result_id": {i},')
        (first.with_name(name) / "result.json").write_text(text)
    with page_client(tmp_path) as client:
        client.log_in("view")
        page = look(client, "?recipe=dome")
        assert cards(page) == list(range(PARTS_A_PAGE + 6, 6, -1))
        older = re.findall(r'rel="next" href="/rejects([^"]+)"', page)
        assert "recipe=dome" in older[0]
        page = look(client, older[0].replace("&amp;", "&"))
        assert cards(page) == [6, 5, 4, 3, 2, 1]
        newer = re.findall(r'rel="prev" href="/rejects([^"]+)"', page)
        page = look(client, newer[0].replace("&amp;", "&"))
        assert cards(page)[-1] == 7
        assert 'rel="prev"' not in page
        third = next(
            entry.name for entry in first.parent.iterdir() if entry.name.endswith(f"_{PARTS_A_PAGE + 3}")
        )
        assert cards(look(client, f"?recipe=dome&after={third}")) == list(range(PARTS_A_PAGE + 6, 6, -1))
        assert cards(look(client, "?before=../../etc/passwd"))[0] == PARTS_A_PAGE + 6


def test_torn_part_is_a_card(tmp_path: Path) -> None:
    """A folder whose result.json is damaged is shown as such, and the others as always."""
    folder = archive_part(tmp_path / "kept", domed_part(1))
    archive_part(tmp_path / "kept", domed_part(2))
    (folder / "result.json").write_text("{")
    with page_client(tmp_path) as client:
        client.log_in("view")
        page = look(client)
        assert cards(page) == [2, 1]
        assert "This folder cannot be read." in page


def test_archive_that_is_away_is_a_sentence(tmp_path: Path) -> None:
    """Without the folder the page says so; what was read before stays visible; it is complete once it is back."""
    kept = tmp_path / "kept"
    with page_client(tmp_path) as client:
        client.log_in("view")
        page = look(client)
        assert "The archive cannot be read now." in page
        archive_part(kept, domed_part(1))
        assert cards(look(client)) == [1]
        kept.rename(tmp_path / "away")
        page = look(client)
        assert cards(page) == [1]
        assert "kept: cannot be listed" in page
        (tmp_path / "away").rename(kept)
        assert "cannot be listed" not in look(client)


def test_index_that_cannot_be_kept_is_made_in_memory(tmp_path: Path) -> None:
    """A page without room for its index still shows the archive."""
    archive_part(tmp_path / "kept", domed_part(1))
    (tmp_path / "hmi.kept.sqlite").mkdir()
    with page_client(tmp_path) as client:
        client.log_in("view")
        assert cards(look(client)) == [1]


def test_export_holds_what_the_filter_leaves(tmp_path: Path) -> None:
    """The ZIP has a folder a part, with all its files, bit for bit."""
    one = archive_part(tmp_path / "kept", domed_part(1))
    archive_part(tmp_path / "kept", domed_part(2, recipe="cap"))
    with page_client(tmp_path) as client:
        client.log_in("view")
        look(client)
        answer = client.get("/rejects.zip?recipe=dome")
        assert answer.headers["content-disposition"] == 'attachment; filename="parts.zip"'
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            assert sorted(archive.namelist()) == sorted(f"{one.name}/{file.name}" for file in one.iterdir())
            for file in one.iterdir():
                assert archive.read(f"{one.name}/{file.name}") == file.read_bytes()


def test_names_from_the_wire_are_text(tmp_path: Path) -> None:
    """A part id with markup is shown as it is written, in the list and on its page."""
    part_id = "<script>alert(1)</script>"
    folder = archive_part(tmp_path / "kept", domed_part(1, part_id=part_id))
    with page_client(tmp_path) as client:
        client.log_in("view")
        for path in ("/rejects", f"/parts/{folder.name}"):
            page = client.get(path).text
            assert part_id not in page
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
