"""`cmfm-worker weights`: which extractor weights are needed, fetch them, check them, convert them."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cmfm_worker.errors import InputError

if TYPE_CHECKING:
    from cmfm_worker.cfm.weights import Kind

app = typer.Typer(
    no_args_is_help=True,
    help="Weights of the extractors 'paper' (the default 'classic' needs none): DINO ViT-B/8 and Point-MAE. "
    "Nothing is ever executed from such a file.",
)

Folder = Annotated[Path, typer.Option("--weights", help="Folder of the weights.", show_default=False)]
Which = Annotated[
    Literal["dino", "pointmae", "all"], typer.Option("--which", help="One of the two, or both.")
]
KINDS: tuple["Kind", ...] = ("dino", "pointmae")


@app.command("list")
def list_weights(
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Also say what is in this folder.", show_default=False)
    ] = None,
) -> None:
    """Say which files are needed and where they are published."""
    from cmfm_worker.cfm.weights import FILE_NAMES, WeightsError, find_weights
    from cmfm_worker.published_weights import PUBLISHED

    for kind in KINDS:
        published = PUBLISHED[kind]
        facts = [
            ("published at", published.url),
            ("bytes", f"{published.size_bytes:,}"),
            ("sha256", published.sha256 or "none on record"),
            ("looked for as", ", ".join(FILE_NAMES[kind])),
        ]
        if weights is not None:
            try:
                facts.append(("found", str(find_weights(weights, kind))))
            except WeightsError as error:
                facts.append(("found", str(error)))
        typer.echo(published.title)
        for name, value in facts:
            typer.echo(f"  {name:<15}{value}")  # no table: addresses are there to be copied


@app.command()
def check(weights: Folder) -> None:
    """Load both files, check their architecture and say whether their sha256 is a published one."""
    from cmfm_worker.cfm.weights import WeightsError, find_weights, is_known, weights_identity
    from cmfm_worker.commands.console import show_facts
    from cmfm_worker.published_weights import PUBLISHED, require_architecture

    bad = []
    for kind in KINDS:
        try:
            path = find_weights(weights, kind)
            require_architecture(path, kind)
            name, digest = weights_identity(path)
        except WeightsError as error:
            bad.append(str(error))
            continue
        known = "a published file's" if is_known(digest, kind) else "UNKNOWN: no published file's on record"
        source = name if name == path.name else f"{path.name}, converted from {name}"
        show_facts(PUBLISHED[kind].title, [("file", source), ("sha256", digest), ("which is", known)])
    if bad:
        raise InputError("\n".join(bad))


@app.command()
def convert(weights: Folder, which: Which = "all") -> None:
    """Write safetensors twins, which load faster; recipes taught on the originals keep working."""
    from cmfm_worker.cfm.weights import convert_to_safetensors, find_weights
    from cmfm_worker.commands.console import remark
    from cmfm_worker.published_weights import require_architecture

    for kind in chosen(which):
        source = find_weights(weights, kind)
        target = source.with_suffix(".safetensors")
        if source == target:
            remark(f"{source}: already safetensors")
            continue
        require_architecture(source, kind)
        try:
            convert_to_safetensors(source, target)
        except OSError as error:
            raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
        remark(f"{target}: written")


@app.command()
def fetch(weights: Folder, which: Which = "all") -> None:
    """Fetch the files from where they are published, checked by size and sha256.

    Where the network does not allow it, fetch them elsewhere (`weights list` says what and where) and copy
    them into the folder.
    """
    from cmfm_worker.cfm.weights import WeightsError, find_weights
    from cmfm_worker.commands.console import progress_bars, remark
    from cmfm_worker.published_weights import PUBLISHED, download

    for kind in chosen(which):
        try:
            remark(f"{find_weights(weights, kind)}: there already")
            continue
        except WeightsError:
            published = PUBLISHED[kind]
        with progress_bars({kind: published.title}) as progress:
            path, digest = download(published, weights, partial(progress, kind))
        remark(f"{path}: sha256 {digest}" + ("" if published.sha256 else " (none on record to compare with)"))


def chosen(which: Literal["dino", "pointmae", "all"]) -> tuple["Kind", ...]:
    """The kinds an option names."""
    return KINDS if which == "all" else (which,)
