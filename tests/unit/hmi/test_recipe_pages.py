"""Pages Threshold and Recipes: data for the browser, changes by the worker's own commands, uploads with a limit."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.page import PageClient, page_client, page_settings
from tests.unit.made.recipes import saved
from tests.unit.made.verdicts import result
from tests.unit.made.written_ledger import write_ledger

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.recipes.file_hash import sha256_of
from cmfm_worker.recipes.recipe import LoadedRecipe, load_recipe, read_recipe_file
from cmfm_worker.recipes.sections import ThresholdSection

SCORES = tuple(0.1 + i / 100 for i in range(20))


@pytest.fixture
def bagel(tmp_path: Path) -> LoadedRecipe:
    """The recipe bagel in the folder of the page, FAIL from 0.5, and the settings of its line."""
    (tmp_path / "line.toml").write_text('[recipes]\nfolder = "recipes"\nnames = ["bagel"]\n')
    threshold = ThresholdSection(fail_at=0.5, validation_parts=20, validation_scores=SCORES)
    saved(tmp_path / "recipes" / "bagel", name="bagel", threshold=threshold)
    return load_recipe(tmp_path / "recipes" / "bagel")


@pytest.fixture
def client(tmp_path: Path, bagel: LoadedRecipe) -> Iterator[PageClient]:
    """A page on which `teach` is logged in; no worker runs."""
    with page_client(tmp_path) as page:
        page.log_in("teach")
        yield page


def data(client: PageClient) -> dict[str, Any]:
    answer = client.http.get("/threshold/data?recipe=bagel")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def save(client: PageClient, **fields: str) -> Any:
    given = {
        "recipe": "bagel",
        "recipe_sha": sha256_of(client.site.settings.records.recipes / "bagel" / "recipe.toml"),
        "fail_at": "0.6",
        "grey_from": "",
        "why": "test",
    }
    return client.post("/threshold", given | fields)


def test_the_browser_gets_the_newest_thousand_parts_of_the_recipes_networks(
    client: PageClient, bagel: LoadedRecipe, tmp_path: Path
) -> None:
    """Parts of other recipes and networks are left out, the latter counted; FAULTs stay."""

    def rows() -> Iterator[Any]:
        for i in range(1500):
            row = result(
                i + 1, Verdict.PASS, score=i / 1e4, recipe="bagel", model_sha=bagel.model_sha, threshold=0.5
            )
            yield replace(row, part_id=f"p{i}")
        yield result(1501, Verdict.PASS, recipe="cookie", model_sha="c")
        yield result(1502, Verdict.FAIL, score=9.0, recipe="bagel", model_sha="former networks")
        yield result(
            1503, Verdict.FAULT, score=None, threshold=None, recipe="bagel", model_sha="", reason=Reason.LOST
        )
        yield result(
            1504, Verdict.UNDECIDED, score=0.9, recipe="bagel", model_sha=bagel.model_sha, threshold=0.5
        )

    write_ledger(tmp_path / "ledger.sqlite", rows())
    found = data(client)
    recent = found["recent"]
    assert len(recent["id"]) == 999
    assert recent["others"] == 1
    assert recent["id"][-2:] == [1503, 1504]
    assert recent["verdict"][-3:] == ["PASS", "FAULT", "UNDECIDED"]
    assert recent["below"][-3:] == ["PASS", None, None]  # too little 3D is no matter of the score
    assert found["line_judges_by"] == 0.5
    assert found["nominal"] == sorted(SCORES)
    assert found["expected"][0]["rate"] > found["expected"][-1]["rate"]


def test_a_threshold_is_saved_as_a_version_and_undone(client: PageClient, tmp_path: Path) -> None:
    """Who and why are kept, whatever somebody writes there; undo leads back byte for byte, and undo again forward.

    The trace has both changes.
    """
    before = (tmp_path / "recipes" / "bagel" / "recipe.toml").read_bytes()
    assert data(client)["undo"] is None
    answer = save(client, grey_from="0.55", why="--fail-at=9 \x1b[31m\u202e too many\nrejects").json()
    assert answer["version"] == 2
    assert answer["line"] == "not_loaded"  # no worker runs
    recipe = read_recipe_file(tmp_path / "recipes" / "bagel")
    assert recipe.threshold is not None
    assert (recipe.threshold.fail_at, recipe.threshold.grey_from) == (0.6, 0.55)
    versions = client.get("/recipes/bagel/versions").text
    assert "too many rejects" in versions
    assert ">teach<" in versions

    changed = data(client)
    assert changed["undo"] == {"version": 1, "fail_at": 0.5}
    undo = {"version": "1", "recipe_sha": changed["recipe_sha"]}
    assert client.post("/recipes/bagel/restore", undo).json()["version"] == 3
    assert (tmp_path / "recipes" / "bagel" / "recipe.toml").read_bytes() == before
    assert data(client)["undo"] == {"version": 2, "fail_at": 0.6}
    trace = [(each.who, each.what, each.subject, each.before) for each in client.site.audit.newest()]
    assert trace == [("teach", "restore", "bagel", "version 2"), ("teach", "threshold", "bagel", "0.5")]


def test_two_people_cannot_overwrite_each_other(client: PageClient) -> None:
    """Whoever saves or undoes what he has not seen is told to look again."""
    seen = sha256_of(client.site.settings.records.recipes / "bagel" / "recipe.toml")
    assert save(client).status_code == 200
    for answer in (
        save(client, recipe_sha=seen),
        client.post("/recipes/bagel/restore", {"version": "1", "recipe_sha": seen}),
    ):
        assert answer.status_code == 409
        assert "changed meanwhile" in answer.json()["error"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"fail_at": ""}, 400),
        ({"fail_at": "nan"}, 400),
        ({"fail_at": "inf"}, 400),
        ({"fail_at": "1e999"}, 400),
        ({"grey_from": "0.6"}, 400),
        ({"grey_from": "-"}, 400),
        ({"recipe": "../bagel"}, 404),
        ({"recipe": "--help"}, 404),
        ({"csrf": "other"}, 403),
    ],
)
def test_a_wrong_threshold_changes_nothing(
    client: PageClient, tmp_path: Path, fields: dict[str, str], status: int
) -> None:
    before = (tmp_path / "recipes" / "bagel" / "recipe.toml").read_bytes()
    answer = save(client, **fields)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert (tmp_path / "recipes" / "bagel" / "recipe.toml").read_bytes() == before
    assert client.site.audit.newest() == []


def test_operators_may_look_and_not_save(client: PageClient) -> None:
    """Saving, going back and importing need the role teach, taking a recipe away the role operate."""
    client.post("/logout")
    client.log_in("operate")
    assert client.get("/threshold?recipe=bagel").status_code == 200
    assert client.get("/recipes").status_code == 200
    csrf = {"X-CSRF-Token": client.csrf()}
    for path in ("/threshold", "/recipes/bagel/restore", "/recipes/import?name=x"):
        assert client.http.post(path, headers=csrf).status_code == 403
    client.post("/logout")
    client.log_in("view")
    assert client.http.get("/recipes/bagel/export").status_code == 403
    assert "/export" not in client.get("/recipes").text


def test_a_version_that_is_not_there_is_a_sentence(client: PageClient) -> None:
    save(client)
    for version in ("9", "0", "-1", "1.5", "", "one", "٣"):
        answer = client.post("/recipes/bagel/restore", {"version": version})
        assert answer.status_code == 404, version
        assert "no version" in answer.json()["error"]


def test_recipes_are_compared(client: PageClient, tmp_path: Path) -> None:
    """Two recipes, and two versions of one."""
    saved(tmp_path / "recipes" / "cookie", seed=3, name="cookie")
    save(client)
    page = client.get("/recipes/compare?a=bagel&b=cookie").text
    assert "mapping.sha256" in page
    page = client.get("/recipes/compare?a=bagel%401&b=bagel").text
    assert "threshold.fail_at" in page
    assert "mapping.sha256" not in page
    for wanted in ("bagel@9", "bagel@x", "../x", "bagel@" + "1" * 5000, "@1"):
        answer = client.get("/recipes/compare", params={"a": "bagel", "b": wanted})
        assert answer.status_code == 404, wanted


def test_a_missing_folder_of_recipes_is_a_sentence(tmp_path: Path) -> None:
    with page_client(tmp_path) as client:
        client.log_in("view")
        for path in ("/recipes", "/threshold", "/trends"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert "recipes: cannot be listed" in answer.text


def test_an_upload_of_two_gigabytes_is_refused_before_it_is_read(tmp_path: Path, bagel: LoadedRecipe) -> None:
    """By its announced size, or when its bytes pass the limit; nothing stays on the disk."""
    with page_client(tmp_path, page_settings(tmp_path, page={"upload_mb": 1})) as client:
        client.log_in("teach")
        headers = {"X-CSRF-Token": client.csrf(), "Content-Length": str(2 * 10**9)}
        announced = client.http.post("/recipes/import?name=big", headers=headers, content=b"x")
        assert (announced.status_code, announced.json()["error"]) == (413, "The upload is too large.")

        def pieces() -> Iterator[bytes]:
            for _ in range(20):
                yield b"x" * 100_000

        streamed = client.http.post(
            "/recipes/import?name=big", headers={"X-CSRF-Token": client.csrf()}, content=pieces()
        )
        assert streamed.status_code == 413
        assert list(tmp_path.glob(".transfer-*")) == []
        assert not (tmp_path / "recipes" / "big").exists()


def test_files_that_a_killed_page_left_are_removed(tmp_path: Path, bagel: LoadedRecipe) -> None:
    """Half an upload may have hundreds of MB."""
    left = tmp_path / ".transfer-abc"
    left.mkdir()
    (left / "upload").write_bytes(b"x")
    with page_client(tmp_path):
        assert not left.exists()


def test_a_recipe_goes_to_another_line_as_one_file(
    client: PageClient, tmp_path: Path, bagel: LoadedRecipe
) -> None:
    """Exported, imported under another name with who and why; a second import of that name must be asked for."""
    exported = client.http.get("/recipes/bagel/export")
    assert exported.headers["content-disposition"] == 'attachment; filename="bagel.zip"'
    assert list(tmp_path.glob(".transfer-*")) == []
    headers = {"X-CSRF-Token": client.csrf()}

    def take(query: str, content: bytes = exported.content) -> Any:
        return client.http.post(f"/recipes/import?{query}", headers=headers, content=content)

    assert take("name=bagel-2&why=from+line+1").json()["version"] == 1
    assert load_recipe(tmp_path / "recipes" / "bagel-2").model_sha == bagel.model_sha
    assert "from line 1" in client.get("/recipes/bagel-2/versions").text
    again = take("name=bagel-2")
    assert again.status_code == 409
    assert "There is a recipe bagel-2 already." in again.json()["error"]
    assert take("name=bagel-2&replace=yes").status_code == 200
    damaged = take("name=bagel-3", exported.content[:-100])
    assert damaged.status_code == 422
    assert damaged.json()["error"].endswith("failed: not an exported recipe, or its end is missing")
    assert not (tmp_path / "recipes" / "bagel-3").exists()
    assert take("name=..%2Fbagel").status_code == 400
    assert list(tmp_path.glob(".transfer-*")) == []
    trace = [(each.what, each.subject) for each in client.site.audit.newest()]
    assert trace[-1] == ("import", "bagel-2")
    assert trace.count(("import failed", "bagel-3")) == 1
