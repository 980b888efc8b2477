"""What to teach a recipe from and how, and what a preset takes where nothing is said."""

from dataclasses import dataclass, field, replace

from cmfm_worker.cfm.extractor import Preset
from cmfm_worker.cfm.fast.precision import Precision
from cmfm_worker.cfm.fit.fit import FitOptions
from cmfm_worker.cfm.scoring import Scoring
from cmfm_worker.cfm.variants import Aggregation, Architecture, Distance, Modality, Normalisation
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.sections import BackgroundSection, CalibrationSection, ScoreSection


@dataclass(frozen=True, slots=True)
class TeachOptions:
    """What to teach from and how; `epochs` None takes the preset's number, `distance` None the preset's
    measure: `angular` (Eq. 3) for `paper`, `metric` for `classic` (`standardised` with convolutions, and
    within a modality).

    `target_false_reject_rate` None asks for the smallest rate that the validation parts support. With
    `fixed_tray` the tray that all training parts share goes into the recipe (`teach_tray`). `precision` is that of
    the extractor's products, and of the mapping's where the threshold is set; it is fitted in float32.

    `architecture`, `modality` and `aggregation` are what the paper compares (`cfm.variants`); its own are the
    defaults. `normalisation`, `smoothing_px` and `highest_px` say how Ψ becomes a score (`ScoreSection`; None: as the
    preset has it, `cfm.scoring`). `batch_images` and `pixels_per_image` replace the preset's numbers
    (`cfm.fit.FitOptions`).
    """

    dataset: str
    category: str
    light: int | None = None
    shots: int | None = None
    seed: int = 0
    epochs: int | None = None
    distance: Distance | None = None
    architecture: Architecture = "mlp"
    modality: Modality = "cross"
    aggregation: Aggregation = "product"
    normalisation: Normalisation = "absolute"
    smoothing_px: float | None = None
    highest_px: int | None = None
    batch_images: int | None = None
    pixels_per_image: int | None = None
    background: BackgroundSection = field(default_factory=BackgroundSection)
    calibration: CalibrationSection = field(default_factory=CalibrationSection)
    fixed_tray: bool = False
    precision: Precision = "fp32"
    target_false_reject_rate: float | None = None
    batch: int = 4


def fit_options(preset: Preset, options: TeachOptions) -> FitOptions:
    """The preset's options with those replaced that were given. Raises InputError naming one that cannot be."""
    given = {key: getattr(options, key) for key in ("epochs", "batch_images", "pixels_per_image")}
    given = {key: value for key, value in given.items() if value is not None}
    usual = FitOptions.for_preset(preset, options.architecture)
    measured = _usual_distance(usual, options.modality) if options.distance is None else options.distance
    given |= {"spread": measured != "angular", "metric": measured == "metric"}
    try:
        return replace(usual, seed=options.seed, modality=options.modality, **given)
    except ValueError as error:
        raise InputError(str(error)) from error


def score_section(preset: Preset, options: TeachOptions, distance: Distance, nominal_px: int) -> ScoreSection:
    """How a recipe taught like that scores parts of `nominal_px`; `distance` is what its mapping is fitted for."""
    usual = Scoring.for_preset(preset, nominal_px)
    return ScoreSection(
        normalisation=options.normalisation,
        distance=distance,
        aggregation=options.aggregation,
        smoothing_px=usual.smoothing_px if options.smoothing_px is None else options.smoothing_px,
        highest_px=usual.highest_px if options.highest_px is None else options.highest_px,
    )


def _usual_distance(usual: FitOptions, modality: Modality) -> Distance:
    """A metric sees both modalities' residuals; reconstructions of each by itself are measured by themselves."""
    distance = _distance(usual)
    return "standardised" if distance == "metric" and modality == "intra" else distance


def _distance(options: FitOptions) -> Distance:
    """What a mapping that is fitted like that is measured by."""
    if options.metric:
        return "metric"
    return "standardised" if options.spread else "angular"
