"""`cmfm-worker fit`: teaches a recipe from good parts."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cmfm_worker.cfm.scoring import MAP_PX, SMOOTHING_PX
from cmfm_worker.cfm.variants import Aggregation, Architecture, Modality
from cmfm_worker.cli import options

STAGES = {
    "start": "starting",
    "pieces": "looking for pieces",
    "tray": "looking for the tray",
    "extract": "features",
    "fit": "fitting",
    "metric": "metric",
    "validate": "validation",
    "unseen": "validation features",
    "folds": "out of fold",
    "simulate": "simulated defects",
    "worst": "pictures",
}


def fit(
    root: options.Root,
    category: options.Category,
    out: Annotated[Path, typer.Option(help="Folder for the new recipe.", show_default=False)],
    dataset: options.Dataset = "mvtec3d",
    light: options.Light = None,
    xyz_unit: options.XyzUnit = "m",
    prepared: options.Prepared = None,
    extractors: Annotated[
        Literal["lite", "classic", "paper"],
        typer.Option(
            help="lite: EfficientNet-Lite0 and fixed filters; its weights (19 MB) come with the installation. "
            "classic: fixed filters, no weights. paper: a vision transformer (DINO ViT-B/8) and Point-MAE."
        ),
    ] = "lite",
    image_extractor: options.ImageExtractor = "dino",
    weights: options.Weights = None,
    blocks: options.Blocks = 12,
    group_size: options.GroupSize = 128,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Default: the preset's (paper: 250).", show_default=False),
    ] = None,
    distance: Annotated[
        Literal["angular", "standardised", "metric"] | None,
        typer.Option(
            help="Distance between features and their predictions. angular: the paper's; standardised: residuals over "
            "their learned spread; metric: such residuals in a metric learned from simulated defects. Default: the "
            "preset's (paper: angular; others: metric, but standardised with convolutions or intra).",
            show_default=False,
        ),
    ] = None,
    mapping: Annotated[
        Architecture,
        typer.Option(
            help="Architecture of the networks: the paper's MLP, or another that the paper compares (suppl. B). "
            "Convolutions process whole maps and take many times as long."
        ),
    ] = "mlp",
    modality: Annotated[
        Modality,
        typer.Option(help="cross: predict each modality from the other; intra: reconstruct it from itself."),
    ] = "cross",
    aggregation: Annotated[
        Aggregation, typer.Option(help="How Ψ is combined: the product of Ψ_2D and Ψ_3D, or another way.")
    ] = "product",
    normalisation: Annotated[
        Literal["absolute", "published"],
        typer.Option(help="A part's score is taken from Ψ, or (published) from Ψ/√mean Ψ."),
    ] = "absolute",
    smoothing_px: Annotated[
        float | None,
        typer.Option(
            min=SMOOTHING_PX[0],
            max=SMOOTHING_PX[1],
            metavar="PX",
            help="σ of the Gaussian over Ψ. Default: the preset's (paper: 4, others: 2.5).",
            show_default=False,
        ),
    ] = None,
    highest_px: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAP_PX,
            metavar="N",
            help="The score is the mean of the N highest pixels. Default: the preset's (paper: 1, others: 2 % of "
            "a part).",
            show_default=False,
        ),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="Fit on K parts, drawn by --seed. Default: all.",
            show_default=False,
        ),
    ] = None,
    leave_out: options.LeaveOut = None,
    seed: Annotated[
        int, typer.Option(min=0, metavar="S", help="Random seed of parts, pixels and initial weights.")
    ] = 0,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    background: options.TaughtBackground = "ransac",
    plane_distance_m: options.PlaneDistance = 0.005,
    clusters: options.ClustersTaught = None,
    target_false_reject_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Share of good parts that may FAIL. Default: 0.05, about 1 of 20; with --threshold-by conformal the "
            "smallest that the nominal parts support.",
            show_default=False,
        ),
    ] = None,
    threshold_by: options.ThresholdBy = "tail",
    calib_id: options.CalibId = None,
    simulated_defects: options.SimulatedDefects = 120,
    batch: options.Batch = 4,
    force: options.Force = False,
    by: options.By = None,
    why: options.Why = "",
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, not as a table.")] = False,
) -> None:
    """Teach a recipe from good parts and set its threshold.

    Fits both mapping networks on ROOT/CATEGORY/train/good (eyecandies: train/data). Sets the threshold for the
    false-reject rate asked for from the scores of good parts that the networks have not seen: those of
    ROOT/CATEGORY/validation/good (eyecandies: val/data), and the training parts, each by networks that were fitted on
    the others. Without a validation split a fifth of the training parts is held out. A part that cannot be read stops
    the command; it is named.

    Ends with what thresholds cost and catch, and with the nominal parts that look mislabelled or should be looked at;
    report/report.html in the recipe's folder has it all with pictures (docs/calibration.md).
    """
    if target_false_reject_rate is not None and not 0 < target_false_reject_rate < 1:
        raise typer.BadParameter("must lie between 0 and 1", param_hint="--target-false-reject-rate")
    if prepared is not None and background == "fixed":
        raise typer.BadParameter(
            "prepared parts have no tray left to teach; leave out --prepared, or give --background ransac",
            param_hint="--prepared",
        )
    chosen_light = options.light_of(dataset, light)
    options.require_tiff(dataset, xyz_unit)
    from cmfm_protocol.files.outputs import require_writable_folder
    from cmfm_worker.cli.console import print_json, progress_bars, remark, remark_impossible

    require_writable_folder(out.parent if out.exists() else out)
    with progress_bars(STAGES) as progress:
        progress("start", 0, 1)  # what follows is imported for seconds
        from cmfm_worker.cli.closing_page import write_report
        from cmfm_worker.cli.closing_tables import repeated_in_words, suspects_in_words
        from cmfm_worker.cli.fit_summary import show, summary
        from cmfm_worker.datasets.cache.store import source_of
        from cmfm_worker.line.compute.device import choose_device, choose_precision
        from cmfm_worker.recipes.choices import with_choices_of
        from cmfm_worker.recipes.extractors import build_extractor, unknown_hashes
        from cmfm_worker.recipes.folder import check_target, recipe_name, save_recipe
        from cmfm_worker.recipes.sections import background_section, calibration_section
        from cmfm_worker.recipes.versions import changing, this_user
        from cmfm_worker.teaching.closing import closing_of
        from cmfm_worker.teaching.options import TeachOptions
        from cmfm_worker.teaching.pieces import pieces_on
        from cmfm_worker.teaching.teach import teach
        from cmfm_worker.teaching.which_parts import choose_parts

        check_target(out, replace=force)
        calibration = calibration_section(calib_id or "")
        name = recipe_name(out)
        parts = choose_parts(
            root,
            category,
            shots=shots,
            seed=seed,
            target_false_reject_rate=target_false_reject_rate,
            threshold_method=threshold_by,
            out_of_fold=extractors != "paper",
            layout=dataset,
            light=chosen_light,
            leave_out=leave_out or (),
        ).in_unit(xyz_unit)
        if parts.held_out:
            remark(
                f"{root / category} has no validation split: {len(parts.validation)} training parts are held out"
            )
        on = choose_device(device)
        products = choose_precision(precision, on)
        taught_by = build_extractor(
            extractors,
            weights,
            blocks=blocks,
            group_size=group_size,
            device=on,
            precision=products,
            image=image_extractor,
        )
        for line in unknown_hashes(taught_by.identity):
            remark(line)
        progress("start", 1, 1)
        section = background_section(
            method="ransac" if background == "fixed" else background,
            plane_distance_m=plane_distance_m,
            clusters=clusters or "largest",
        )
        if clusters is None and prepared is None:
            section = pieces_on(parts.train, section, batch, on, progress)
            if section.clusters == "all":
                remark(f"{category}: parts consist of several pieces; all are kept (--clusters all)")
        source = source_of(prepared, [*parts.train, *parts.validation], section.options(), on)
        how = TeachOptions(
            dataset=root.resolve().name,
            category=category,
            light=chosen_light if dataset == "eyecandies" else None,
            shots=shots,
            seed=seed,
            epochs=epochs,
            distance=distance,
            architecture=mapping,
            modality=modality,
            aggregation=aggregation,
            normalisation=normalisation,
            smoothing_px=smoothing_px,
            highest_px=highest_px,
            background=section,
            calibration=calibration,
            precision=products,
            fixed_tray=background == "fixed",
            target_false_reject_rate=target_false_reject_rate,
            threshold_method=threshold_by,
            batch=batch,
        )
        taught = teach(taught_by, parts, how, name, progress, source)
        closing = closing_of(
            taught_by,
            taught.model,
            taught.nominal,
            simulated=simulated_defects,
            batch=batch,
            progress=progress,
            source=source,
        )
    remark_impossible(taught.impossible)
    if taught.draft.frame.height_px is None:
        remark(f"{category}: the parts' pictures have several sizes; the recipe accepts any size")
    advice = suspects_in_words(closing, "fit")
    draft, kept = with_choices_of(out, taught.draft)
    with changing(out, by or this_user(), why or "taught"):
        loaded = save_recipe(
            out,
            draft,
            taught.mapping,
            replace=force,
            report=lambda folder: write_report(folder, closing, name, advice),
        )
    if json:
        print_json(summary(taught, loaded, closing))
    else:
        show(taught, loaded, closing)
    for line in (*kept, *repeated_in_words(taught.nominal), *advice):
        remark(line)
