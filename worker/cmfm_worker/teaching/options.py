"""The options of teaching, and the preset's defaults for options that are not given."""

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
    """The data to teach from and the options of the fit.

    `epochs`, `batch_images` and `pixels_per_image` None take the preset's numbers (`cfm.fit.options.FitOptions`).
    `distance` None takes the preset's: `angular` (Eq. 3) for `paper`, `metric` for `classic` (`standardised` with
    convolutions and within a modality). `target_false_reject_rate` None asks for the smallest rate that the
    validation parts support. With `fixed_tray` the common tray plane of all training parts is stored in the recipe
    (`teaching.tray`). `precision` is the precision of the extractor's matrix products, and of the mapping's when
    the threshold is set; the mapping is always fitted in float32.

    `architecture`, `modality` and `aggregation` are the variants that the paper compares (`cfm.variants`); the
    defaults are the paper's own. `normalisation`, `smoothing_px` and `highest_px` define how Ψ becomes a score
    (`ScoreSection`); None takes the preset's value (`cfm.scoring`).
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
    """Return the preset's fit options, overridden by the given ones. Raises InputError naming an invalid one."""
    given = {key: getattr(options, key) for key in ("epochs", "batch_images", "pixels_per_image")}
    given = {key: value for key, value in given.items() if value is not None}
    defaults = FitOptions.for_preset(preset, options.architecture)
    distance = _default_distance(defaults, options.modality) if options.distance is None else options.distance
    given |= {"spread": distance != "angular", "metric": distance == "metric"}
    try:
        return replace(defaults, seed=options.seed, modality=options.modality, **given)
    except ValueError as error:
        raise InputError(str(error)) from error


def score_section(preset: Preset, options: TeachOptions, distance: Distance, nominal_px: int) -> ScoreSection:
    """Return the score section for parts of `nominal_px` pixels; `distance` is the one the mapping was fitted for."""
    defaults = Scoring.for_preset(preset, nominal_px)
    return ScoreSection(
        normalisation=options.normalisation,
        distance=distance,
        aggregation=options.aggregation,
        smoothing_px=defaults.smoothing_px if options.smoothing_px is None else options.smoothing_px,
        highest_px=defaults.highest_px if options.highest_px is None else options.highest_px,
    )


def _default_distance(defaults: FitOptions, modality: Modality) -> Distance:
    """Return the preset's distance. Within a modality there is no metric: it needs the residuals of both."""
    if defaults.metric and modality == "cross":
        return "metric"
    return "standardised" if defaults.metric or defaults.spread else "angular"
