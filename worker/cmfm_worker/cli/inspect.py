"""`cmfm-worker inspect`: inspects one part from files and writes maps, a verdict and a picture."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from cmfm_worker.cli import options
from cmfm_worker.errors import InputError

if TYPE_CHECKING:
    from cmfm_worker.inspection.result import InspectedPart
    from cmfm_worker.recipes.loaded_model import LoadedModel

NO_THRESHOLD = "no_threshold"


def inspect(
    recipe: options.Recipe,
    rgb: Annotated[Path, typer.Option(help="The part's picture (PNG).", show_default=False)],
    xyz: Annotated[
        Path,
        typer.Option(
            help="The part's points (TIFF, 3 channels, metres), or NN_depth.png of Eyecandies.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; created if needed.", show_default=False)],
    xyz_unit: options.XyzUnit = "m",
    weights: options.Weights = None,
    background: options.BackgroundOverride = None,
    plane_distance_m: options.PlaneDistanceOverride = None,
    clusters: options.ClustersOverride = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
) -> None:
    """Inspect one part from files.

    Writes result.json, psi.npy, psi_2d.npy and psi_3d.npy (float32, 224×224), foreground.npy (bool, 224×224: pixels
    with valid 3D after background removal) and overlay.png. For a part that cannot be inspected it writes a FAULT and
    exits with code 2.
    """
    from cmfm_protocol.files.dataset import PartFiles, read_images
    from cmfm_protocol.files.layout_eyecandies import depth_info_beside
    from cmfm_protocol.files.outputs import require_writable_folder
    from cmfm_protocol.wire.points import count_impossible
    from cmfm_worker.cli.console import remark, remark_impossible
    from cmfm_worker.datasets.batches import to_frames
    from cmfm_worker.inspection.frame_check import check_frame
    from cmfm_worker.inspection.inspector import Inspector
    from cmfm_worker.line.compute.device import choose_device, choose_precision
    from cmfm_worker.recipes.extractors import extractor_of
    from cmfm_worker.recipes.loaded_model import LoadedModel
    from cmfm_worker.recipes.recipe import load_recipe

    require_writable_folder(out)
    loaded = load_recipe(recipe).with_background(background, plane_distance_m, clusters)
    unit = depth_info_beside(xyz) if xyz.suffix.lower() == ".png" else None
    options.require_tiff("mvtec3d" if unit is None else "eyecandies", xyz_unit)
    files = PartFiles(rgb.stem, "", "", rgb=rgb, xyz=xyz, gt=None, depth_info=unit, xyz_unit=xyz_unit)
    images = read_images(files)
    make_folder(out)
    on = choose_device(device)
    products = choose_precision(precision, on)
    inspector = Inspector(extractor_of(loaded.recipe, weights, on, products))
    inspector.require_match(loaded.recipe)
    model = LoadedModel.of(loaded, on, products)
    start = time.perf_counter()
    refused = [check_frame(images[1], loaded.recipe)]
    (part,) = inspector.inspect(*to_frames([images], on), [model], refused).parts()
    impossible_px = count_impossible(images[1])
    result = report(part, model) | {
        "rgb": str(rgb),
        "xyz": str(xyz),
        "size_px": list(images[0].shape[:2]),
        "impossible_points": impossible_px,
        "device": str(on),
        "inspect_ms": round((time.perf_counter() - start) * 1e3, 3),
    }
    write(out, part, result)
    remark_impossible({str(xyz): impossible_px})
    if part.problem is not None:
        raise InputError(f"{xyz}: {part.problem.detail} ({part.problem.reason})")
    detail = f": {result['detail']}" if result["detail"] else ""
    remark(
        f"{result['verdict']} ({result['reason']}{detail}), score {result['score']}; see {out / 'overlay.png'}"
    )


def report(part: "InspectedPart", model: "LoadedModel") -> dict[str, Any]:
    """Return the contents of result.json that depend on part and recipe."""
    import math

    from cmfm_worker.inspection.regions import regions_of

    recipe = model.recipe
    verdict, reason, detail = judge(part, model)
    return {
        "verdict": verdict,
        "reason": reason,
        "detail": detail,
        "score": part.score if math.isfinite(part.score) else None,
        "score_normalisation": recipe.score.normalisation,
        "score_highest_px": recipe.score.highest_px,
        "score_compress_from": recipe.score.compress_from,
        "max_psi": None if part.problem else float(part.psi.max()),
        "threshold": recipe.threshold.fail_at if recipe.threshold else None,
        "coverage": part.coverage,
        "coverage_minimum": recipe.coverage.minimum,
        "coverage_maximum": recipe.coverage.maximum,
        "measures": measures_of(part),
        "limits": recipe.limits.model_dump(mode="json"),
        "foreground_px": int(part.foreground.sum()),
        "valid_px": int(part.valid.sum()),
        "peak_px": part.peak_px,
        "peak_xyz_m": part.peak_xyz_m,
        "regions": [asdict(region) for region in regions_of(part, verdict, recipe)],
        "recipe": recipe.name,
        "model_sha": model.sha,
        "background": recipe.background.model_dump(mode="json"),
    }


def measures_of(part: "InspectedPart") -> dict[str, float | None]:
    """Return what the recipe's limits compare, under the limits' names; the level is None without an inspection."""
    measures = part.measures
    return measures.around._asdict() | {
        "area_px": measures.area_px,
        "outline_px": measures.outline_px,
        "length_px": measures.length_px,
        "filled": round(measures.filled, 4),
        "compactness": round(measures.compactness, 4),
        "level": None if part.problem else part.level,
    }


def judge(part: "InspectedPart", model: "LoadedModel") -> tuple[str, str, str]:
    """Return verdict, reason and detail; without a threshold UNDECIDED, as nothing can be called good."""
    from cmfm_protocol.wire.verdict import Verdict
    from cmfm_worker.inspection.decide import decide

    if part.problem is not None:
        return str(Verdict.FAULT), str(part.problem.reason), part.problem.detail
    if model.recipe.threshold is None:
        return str(Verdict.UNDECIDED), NO_THRESHOLD, ""
    verdict, reason, detail = decide(part.score, part.level, part.measures, model.recipe)
    return str(verdict), str(reason), detail


def write(out: Path, part: "InspectedPart", result: dict[str, Any]) -> None:
    """Write the files of an inspection. Raises InputError if the folder cannot be written."""
    from cmfm_protocol.pictures.panels import part_panel

    panel = part_panel(
        part.rgb,
        part.depth,
        part.psi_2d,
        part.psi_3d,
        part.psi_as_scored,
        threshold=result["threshold"],
        title=f"{Path(result['rgb']).name} · recipe {result['recipe']}",
        verdict=result["verdict"],
        score=result["score"],
        foreground=part.foreground,
        reason=result["reason"],
    )
    arrays = {"psi": part.psi, "psi_2d": part.psi_2d, "psi_3d": part.psi_3d, "foreground": part.foreground}
    try:
        for name, array in arrays.items():
            np.save(out / f"{name}.npy", array, allow_pickle=False)
        panel.save(out / "overlay.png")
        text = json.dumps(result, indent=2, allow_nan=False)
        (out / "result.json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error


def make_folder(out: Path) -> None:
    """Create the folder for results. Raises InputError if that fails."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: the folder cannot be created ({error.strerror or error})") from error
