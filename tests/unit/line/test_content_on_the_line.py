"""Parts outside their recipe's limits on a running line: verdict, ledger, archive, replay and metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w
from tests.unit.made.nominal_frames import nominal_frames
from tests.unit.made.recipes import ColourAndPlace, saved
from tests.unit.made.scenes import shifted, with_block, without_quadrant
from tests.unit.made.service import Outside, line_settings, serve

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_records.ledger import Question, open_ledger
from cmfm_worker.cli.replay_part import replay_archived
from cmfm_worker.errors import ExitCode
from cmfm_worker.recipes.sections import BackgroundSection, ThresholdSection

REASONS = [
    Reason.BELOW_THRESHOLD,
    Reason.LOW_COVERAGE,
    Reason.OUT_OF_VIEW,
    Reason.UNEXPECTED_PIECE,
]


def test_parts_outside_the_limits_never_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recipe that passes every score: reasons and details are on the wire and in the ledger, and a replay agrees."""
    settings, product = line_settings(tmp_path), nominal_frames("gear")
    good = product.good[0]
    columns = good.box[1]
    scenes = [
        good,
        without_quadrant(good, down=True, right=False, broken=False),
        shifted(good, 0, -columns.start - 60),
        with_block(good, slice(4, 24), slice(4, 24), 15.0),
    ]
    saved(
        tmp_path / "other" / "part",
        background=BackgroundSection(),
        coverage=product.coverage,
        limits=product.limits,
        threshold=ThresholdSection(fail_at=1e9),
    )
    settings = settings.model_copy(
        update={"recipes": settings.recipes.model_copy(update={"folder": tmp_path / "other"})}
    )

    def act(outside: Outside) -> None:
        outside.show([(one.rgb, one.xyz) for one in scenes])
        outside.listen(len(scenes))
        outside.signal()

    outside = Outside(settings, act)
    assert serve(settings).code is ExitCode.OK
    outside.end()
    results = sorted(outside.results, key=lambda result: result.seq)
    assert [result.reason for result in results] == REASONS
    assert [result.verdict for result in results] == [Verdict.PASS, *[Verdict.UNDECIDED] * 3]
    assert all((result.detail != "") is (result.verdict is Verdict.UNDECIDED) for result in results)
    assert "0 px from the edge of the picture" in results[2].detail
    with open_ledger(tmp_path / "ledger.sqlite") as reader:
        rows = sorted(reader.rows(Question()), key=lambda row: str(row["seq"]))
    assert [(row["reason"], row["detail"]) for row in rows] == [(str(r.reason), r.detail) for r in results]
    config = tmp_path / "line.toml"
    table = {
        "recipes": {"folder": "other"},
        "kept": {"folder": "kept"},
        "ledger": {"path": "ledger.sqlite"},
        "device": {"name": "cpu"},
    }
    config.write_text(tomli_w.dumps(table))
    for result in results[1:]:
        name = f"{result.boot_id}/{result.result_id}"
        assert replay_archived(name, config, build=lambda *_: ColourAndPlace())
        assert f"UNDECIDED ({result.reason})" in capsys.readouterr().out


def test_recipe_without_limits_is_told_when_it_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recipe from before has nothing to compare; the log says what can pass and what to do."""
    settings = line_settings(tmp_path)
    outside = Outside(settings, lambda outside: outside.signal())
    assert serve(settings).code is ExitCode.OK
    outside.end()
    said = capsys.readouterr()
    assert "recipe_without_limits" in said.out + said.err
