"""Calibrating the recipe of a running line: the new limits hold from the control request on."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq
from tests.unit.made.dataset import read_json, run, write_part
from tests.unit.made.recipes import ColourAndPlace, frames
from tests.unit.made.service import Outside, line_settings, serve

from cmfm_protocol.wire.control import LoadRecipeRequest, decode_reply, encode_request
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.errors import ExitCode
from cmfm_worker.recipes.recipe import load_recipe


def test_part_in_the_grey_band_is_undecided_from_the_reload_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same part is decided by the old limits until `load_recipe`, then UNDECIDED with the reason grey_band; the
    model is the same in both verdicts, the threshold is the new one."""
    settings = line_settings(tmp_path)
    monkeypatch.setattr("cmfm_worker.recipes.extractors.extractor_of", lambda *_: ColourAndPlace())
    recipe, lot = settings.recipes.folder / "part", tmp_path / "lot"
    rgb, xyz = frames(1)
    write_part(lot, "0", rgb[0].numpy(), xyz[0].numpy())
    taught = load_recipe(recipe)

    def calibrate(*more: object) -> None:
        assert run("calibrate", "--recipe", recipe, "--nominal", lot, *more) == 0

    calibrate("--dry-run", "--json", tmp_path / "f.json")
    (score,) = read_json(tmp_path / "f.json")["threshold"]["validation_scores"]

    def act(outside: Outside) -> None:
        outside.send(1)
        outside.listen(1)
        calibrate("--grey-from", 0.9 * score, "--fail-at", 1.1 * score, "--force")
        outside.send(1, first=1)
        outside.listen(1)
        with zmq.Context() as context, context.socket(zmq.REQ) as control:
            control.setsockopt(zmq.LINGER, 0)
            control.connect(settings.sockets.control)
            control.send(encode_request(LoadRecipeRequest("1", "part")))
            assert control.poll(20_000)
            assert decode_reply(control.recv()).ok
        outside.send(1, first=2)
        outside.listen(1)
        outside.signal()

    outside = Outside(settings, act)
    assert serve(settings).code is ExitCode.OK
    outside.end()
    before, between, after = outside.results
    assert taught.recipe.threshold is not None
    assert before.verdict is between.verdict is not Verdict.UNDECIDED
    assert before.threshold == between.threshold == taught.recipe.threshold.fail_at
    assert (after.verdict, after.reason) == (Verdict.UNDECIDED, Reason.GREY_BAND)
    assert after.score == pytest.approx(score)
    assert after.threshold == pytest.approx(1.1 * score)
    assert before.model_sha == after.model_sha == taught.model_sha
