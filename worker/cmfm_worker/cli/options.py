"""Options that several commands share."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer


def _device(name: str) -> str:
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", name) is None:
        raise typer.BadParameter("must be auto, cpu, cuda or cuda:N")
    return name


def _category(name: str) -> str:
    from cmfm_protocol.files.folder_names import category_name

    return category_name(name)


Layout = Literal["mvtec3d", "eyecandies", "synthetic"]  # as in `cmfm_protocol.files.dataset`

Recipe = Annotated[Path, typer.Option("--recipe", help="Folder of the recipe.", show_default=False)]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        help="Folder of the published extractor weights (paper only); see `cmfm-worker weights list`.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.", callback=_device)]
ProductPrecision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Precision = Annotated[
    ProductPrecision,
    typer.Option(
        "--precision",
        help="Precision of matrix products (paper only); auto: fp32 on a CPU, bf16 on CUDA.",
    ),
]
Dataset = Annotated[
    Layout,
    typer.Option(
        "--dataset",
        help="Layout of the data set: mvtec3d (also for your own parts), eyecandies, or synthetic (`cmfm-sim make`).",
    ),
]
XyzUnit = Annotated[
    Literal["m", "cm", "mm", "um"],
    typer.Option("--xyz-unit", help="Unit of the points in TIFF files; they are converted to metres."),
]
Light = Annotated[
    int | None,
    typer.Option(
        "--light",
        min=0,
        max=5,
        metavar="N",
        help="Image of a part to use (eyecandies only): 0 all spots, 1 bottom, 2 right, 3 top, 4 left, 5 light box. "
        "Default: 4.",
        show_default=False,
    ),
]
CalibId = Annotated[
    str | None,
    typer.Option(
        "--calib-id",
        metavar="ID",
        help="Calibration that the recipe is for, as `calib_id` in frames: the line calls parts of any other "
        "UNDECIDED.",
        show_default=False,
    ),
]
Prepared = Annotated[
    Path | None,
    typer.Option(
        "--prepared",
        metavar="CACHE",
        help="Use prepared parts from this folder, made by `cmfm-worker prepare`.",
        show_default=False,
    ),
]
Root = Annotated[Path, typer.Option("--root", help="Folder that holds the categories.", show_default=False)]
Category = Annotated[
    str,
    typer.Option("--category", help="Name of the category's folder.", show_default=False, callback=_category),
]
Blocks = Annotated[
    Literal[12, 8, 4, 1],
    typer.Option(
        "--blocks",
        help="Transformer blocks of both backbones to use (paper only): full, M, S, T. An image extractor without 12 "
        "blocks is used whole or refused.",
    ),
]
ImageExtractor = Annotated[
    str,
    typer.Option(
        "--image-extractor",
        metavar="NAME",
        help="2D extractor (paper only): dino, dinov2, sam, clip, or timm's name of a vision transformer.",
    ),
]
GroupSize = Annotated[
    Literal[128, 32], typer.Option("--group-size", help="Points in a group (paper only); published: 128.")
]
Batch = Annotated[int, typer.Option("--batch", min=1, max=64, metavar="N", help="Frames computed together.")]

_BACKGROUND_HELP = (
    "How to remove the tray: by a plane fit in every frame, or not at all (it is removed already)."
)
_TAUGHT_HELP = (
    "How to remove the tray: by a plane fit in every frame, by one fixed plane taught now, or not at all."
)
_PLANE_HELP = "Points within this distance of the tray's plane are background, in metres."
_CLUSTERS_HELP = "Keep the largest piece above the tray, or everything but specks."

Method = Literal["ransac", "none"]
Clusters = Literal["largest", "all"]
Background = Annotated[Method, typer.Option("--background", help=_BACKGROUND_HELP)]
TaughtBackground = Annotated[
    Literal["ransac", "fixed", "none"], typer.Option("--background", help=_TAUGHT_HELP)
]
PlaneDistance = Annotated[
    float, typer.Option("--plane-distance-m", min=0.0, max=1.0, metavar="M", help=_PLANE_HELP)
]
ClustersTaught = Annotated[
    Clusters | None,
    typer.Option(
        "--clusters",
        help=f"{_CLUSTERS_HELP} Default: determined from the training parts (with --prepared: largest).",
        show_default=False,
    ),
]
ClustersOption = Annotated[Clusters, typer.Option("--clusters", help=_CLUSTERS_HELP)]
BackgroundOverride = Annotated[
    Method | None,
    typer.Option("--background", help=f"{_BACKGROUND_HELP} Default: the recipe's.", show_default=False),
]
PlaneDistanceOverride = Annotated[
    float | None,
    typer.Option(
        "--plane-distance-m",
        min=0.0,
        max=1.0,
        metavar="M",
        help=f"{_PLANE_HELP} Default: the recipe's.",
        show_default=False,
    ),
]
ClustersOverride = Annotated[
    Clusters | None,
    typer.Option("--clusters", help=f"{_CLUSTERS_HELP} Default: the recipe's.", show_default=False),
]
ThresholdBy = Annotated[
    Literal["tail", "conformal"],
    typer.Option(
        help="tail: from a model of the highest nominal scores. conformal: one of the nominal scores, without a "
        "model; small rates need many parts."
    ),
]
LeaveOut = Annotated[
    list[str] | None,
    typer.Option(
        "--leave-out",
        metavar="NAME",
        help="Use this nominal part for nothing, because it is mislabelled: its id (bagel-train-good-012) or its "
        "file's name. Repeatable.",
        show_default=False,
    ),
]
SimulatedDefects = Annotated[
    int,
    typer.Option(
        "--simulated-defects",
        min=0,
        max=10_000,
        metavar="N",
        help="Number of simulated defects on unseen good parts that show what each threshold catches; 0 for none "
        "(paper: none).",
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="WHO",
        help="Who changes the recipe, for the list of its versions. Default: the user that runs the command.",
        show_default=False,
    ),
]
Why = Annotated[
    str,
    typer.Option("--why", metavar="TEXT", help="Why, for the list of its versions.", show_default=False),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing recipe.")]


def require_tiff(dataset: Layout, xyz_unit: str) -> None:
    """Raise typer.BadParameter for a unit given for Eyecandies, whose files name their unit."""
    if xyz_unit != "m" and dataset == "eyecandies":
        raise typer.BadParameter("its files name their unit; leave it out", param_hint="--xyz-unit")


def light_of(dataset: Layout, light: int | None) -> int:
    """Return the light whose image is the RGB. Layouts other than Eyecandies have one image and refuse the option."""
    if light is not None and dataset != "eyecandies":
        raise typer.BadParameter(f"needs --dataset eyecandies, not {dataset}", param_hint="--light")
    from cmfm_protocol.files.layout_eyecandies import DEFAULT_LIGHT

    return DEFAULT_LIGHT if light is None else light
