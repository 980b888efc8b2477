"""`cmfm-worker weights`: lists, downloads, checks and converts the extractor weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmfm_worker.errors import InputError

if TYPE_CHECKING:
    from cmfm_worker.recipes.published_weights import PublishedFile

app = typer.Typer(
    no_args_is_help=True,
    help="Weights of the extractors 'paper' (the default 'classic' needs none): DINO ViT-B/8 or another vision "
    "transformer, and Point-MAE. No code from such a file is ever executed.",
)

Folder = Annotated[Path, typer.Option("--weights", help="Folder of the weights.", show_default=False)]
Which = Annotated[
    str,
    typer.Option(
        "--which",
        metavar="NAME",
        help="pointmae, dino, dinov2, sam, clip or timm's name of a ViT; all: dino and pointmae, the default of "
        "'paper'.",
    ),
]


@app.command("list")
def list_weights(
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="Also show what this folder holds.", show_default=False),
    ] = None,
) -> None:
    """List the files that are needed and where they are published: DINO and Point-MAE, then DINO's alternatives."""
    from cmfm_worker.cfm.weights import WeightsError, file_names, find_weights
    from cmfm_worker.recipes.published_weights import PUBLISHED

    for kind, published in PUBLISHED.items():
        facts = [
            ("published at", published.url),
            ("bytes", "none on record" if published.size_bytes is None else f"{published.size_bytes:,}"),
            ("sha256", published.sha256 or "none on record"),
            ("file names", ", ".join(file_names(kind))),
        ]
        if weights is not None:
            try:
                facts.append(("found", str(find_weights(weights, kind))))
            except WeightsError as error:
                facts.append(("found", str(error)))
        typer.echo(published.title)
        for name, value in facts:
            typer.echo(f"  {name:<15}{value}")  # not a table, so that addresses can be copied


@app.command()
def check(weights: Folder, which: Which = "all") -> None:
    """Load the files, check their architecture and show whether their sha256 is a published one."""
    from cmfm_worker.cfm.weights import WeightsError, find_weights, is_known, weights_identity
    from cmfm_worker.cli.console import show_facts
    from cmfm_worker.recipes.published_weights import require_architecture

    bad = []
    for kind, published in chosen(which).items():
        try:
            path = find_weights(weights, kind)
            require_architecture(path, kind)
            name, digest = weights_identity(path)
        except WeightsError as error:
            bad.append(str(error))
            continue
        known = (
            "that of a published file"
            if is_known(digest, kind)
            else "UNKNOWN: of no published file on record"
        )
        source = name if name == path.name else f"{path.name}, converted from {name}"
        title = kind if published is None else published.title
        show_facts(title, [("file", source), ("sha256", digest), ("this sha256 is", known)])
    if bad:
        raise InputError("\n".join(bad))


@app.command()
def convert(weights: Folder, which: Which = "all") -> None:
    """Write safetensors copies, which load faster. Recipes taught on the originals work with them."""
    from cmfm_protocol.files.outputs import require_writable_folder
    from cmfm_worker.cfm.weights import convert_to_safetensors, find_weights
    from cmfm_worker.cli.console import remark
    from cmfm_worker.recipes.published_weights import require_architecture

    require_writable_folder(weights)
    for kind in chosen(which):
        source = find_weights(weights, kind)
        target = source.with_suffix(".safetensors")
        if source == target:
            remark(f"{source}: is safetensors already")
            continue
        require_architecture(source, kind)
        try:
            convert_to_safetensors(source, target)
        except OSError as error:
            raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
        remark(f"{target}: written")


@app.command()
def fetch(weights: Folder, which: Which = "all") -> None:
    """Download the published files and check size and sha256 as far as they are on record.

    Without network access, download them elsewhere (`weights list` shows names and addresses) and copy them into the
    folder.
    """
    from cmfm_protocol.files.outputs import require_writable_folder
    from cmfm_worker.cfm.weights import WeightsError, find_weights
    from cmfm_worker.cli.console import progress_bars, remark
    from cmfm_worker.recipes.weights_download import download

    for kind, published in chosen(which).items():
        try:
            remark(f"{find_weights(weights, kind)}: exists already")
            continue
        except WeightsError as error:
            if published is None:
                raise InputError(f"{kind}: timm does not say where it is published") from error
        require_writable_folder(weights)
        with progress_bars({"fetch": published.title}) as progress:
            path, digest = download(published, weights, progress)
        remark(
            f"{path}: sha256 {digest}" + ("" if published.sha256 else " (none on record to compare it with)")
        )


def chosen(which: str) -> dict[str, "PublishedFile | None"]:
    """Return the kinds that an option names and where each is published. Raises InputError for an unknown name."""
    from cmfm_worker.cfm.weights import kind_of
    from cmfm_worker.recipes.published_weights import BY_DEFAULT, published_file

    if which == "all":
        return {kind: published_file(kind) for kind in BY_DEFAULT}
    published = published_file(which)
    return {kind_of(which): published}
