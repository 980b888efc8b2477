"""`cmfm-worker import`: makes a recipe from mapping networks in the published naming and format."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cmfm_worker.cli import options
from cmfm_worker.errors import InputError

if TYPE_CHECKING:
    from cmfm_worker.recipes.sections import ProvenanceSection, ThresholdSection

_PUBLISHED = re.compile(r"CFM_(?P<way>2Dto3D|3Dto2D)_(?P<name>.+)_(?P<epochs>\d+)ep_(?P<batch>\d+)bs\.pth")


@dataclass(frozen=True, slots=True)
class PublishedName:
    """The fields of a file name `CFM_2Dto3D_<name>_<epochs>ep_<batch>bs.pth`."""

    way: str
    name: str
    epochs: int
    batch: int


def import_published(
    mapping_2d3d: Annotated[
        Path,
        typer.Option("--mapping-2d3d", help="CFM_2Dto3D_NAME_EPOCHSep_BATCHbs.pth", show_default=False),
    ],
    mapping_3d2d: Annotated[
        Path,
        typer.Option("--mapping-3d2d", help="CFM_3Dto2D_NAME_EPOCHSep_BATCHbs.pth", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the new recipe.", show_default=False)],
    weights: options.Weights = None,
    blocks: options.Blocks = 12,
    group_size: options.GroupSize = 128,
    background: options.Background = "ransac",
    plane_distance_m: options.PlaneDistance = 0.005,
    clusters: options.ClustersOption = "largest",
    normalisation: Annotated[
        Literal["published", "absolute"],
        typer.Option(help="The score is max(Ψ/√m) as in the published numbers, or (absolute) max Ψ."),
    ] = "published",
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Score from which on a part FAILs. Without it the line refuses the recipe.",
            show_default=False,
        ),
    ] = None,
    force: options.Force = False,
    by: options.By = None,
    why: options.Why = "",
) -> None:
    """Make a recipe from published mapping networks.

    Both files must come from one training run. They need the extractor weights (--weights), blocks and group size that
    they were trained with. The recipe has no threshold unless --threshold is given; `calibrate` sets one from good
    parts.
    """
    from cmfm_worker.cfm.mapping.files import load_published
    from cmfm_worker.cli.console import remark
    from cmfm_worker.line.compute.device import choose_device
    from cmfm_worker.recipes.extractors import build_extractor, unknown_hashes
    from cmfm_worker.recipes.folder import check_target, recipe_name, save_recipe
    from cmfm_worker.recipes.recipe import RecipeDraft
    from cmfm_worker.recipes.sections import ExtractorSection, ScoreSection, background_section
    from cmfm_worker.recipes.versions import changing, this_user

    check_target(out, replace=force)
    published = one_run(mapping_2d3d, mapping_3d2d)
    section = background_section(method=background, plane_distance_m=plane_distance_m, clusters=clusters)
    extractor = build_extractor(
        "paper", weights, blocks=blocks, group_size=group_size, device=choose_device("cpu")
    )
    for line in unknown_hashes(extractor.identity):
        remark(line)
    mapping = load_published(mapping_2d3d, mapping_3d2d, d2=extractor.d2, d3=extractor.d3)
    draft = RecipeDraft(
        name=recipe_name(out),
        extractor=ExtractorSection.of(extractor.identity),
        background=section,
        score=ScoreSection(normalisation=normalisation),
        threshold=_threshold(threshold),
        provenance=_provenance(published, (mapping_2d3d, mapping_3d2d)),
    )
    with changing(out, by or this_user(), why or "made from published networks"):
        loaded = save_recipe(out, draft, mapping, replace=force)
    remark(f"{out}: recipe {loaded.recipe.name!r} written, model sha256 {loaded.model_sha}")
    if threshold is None:
        remark(
            "it has no threshold: `inspect` and `evaluate` accept it, the line refuses it; `calibrate` sets one"
        )


def one_run(mapping_2d3d: Path, mapping_3d2d: Path) -> PublishedName | None:
    """Read the names of a pair; None if neither follows the published naming.

    Raises InputError if the two are swapped or come from different runs.
    """
    there, back = parse_name(mapping_2d3d), parse_name(mapping_3d2d)
    if (there and there.way != "2Dto3D") or (back and back.way != "3Dto2D"):
        raise InputError(
            f"--mapping-2d3d takes the file CFM_2Dto3D_…, --mapping-3d2d the file CFM_3Dto2D_…: "
            f"found {mapping_2d3d.name} and {mapping_3d2d.name}"
        )
    if there and back and (there.name, there.epochs, there.batch) != (back.name, back.epochs, back.batch):
        raise InputError(f"{mapping_2d3d.name} and {mapping_3d2d.name} are not from one training run")
    return there or back


def parse_name(path: Path) -> PublishedName | None:
    """Read a published file's name; None for any other name."""
    found = _PUBLISHED.fullmatch(path.name)
    if found is None:
        return None
    return PublishedName(found["way"], found["name"], int(found["epochs"]), int(found["batch"]))


def _threshold(fail_at: float | None) -> "ThresholdSection | None":
    from pydantic import ValidationError

    from cmfm_worker.recipes.sections import ThresholdSection

    if fail_at is None:
        return None
    try:
        return ThresholdSection(fail_at=fail_at)
    except ValidationError as error:
        raise InputError(f"--threshold must be a finite number, not {fail_at}") from error


def _provenance(published: PublishedName | None, files: tuple[Path, Path]) -> "ProvenanceSection":
    from datetime import UTC, datetime
    from importlib.metadata import version

    import torch

    from cmfm_worker.cfm.weights import sha256_file
    from cmfm_worker.recipes.sections import ProvenanceSection

    return ProvenanceSection(
        made_by="import",
        fitted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        category=published.name if published else "",
        epochs=published.epochs if published else None,
        sources={path.name: sha256_file(path) for path in files},
        torch=torch.__version__,
        cmfm=version("cmfm"),
    )
