"""Synthetic parts: repeatable, physically consistent, with a ground truth that is true."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cmfm_sim.datasets.synthetic import CATEGORIES, DEFECTS, SyntheticPart, render_part
from cmfm_sim.datasets.synthetic.category import misgraded_blueprint, nominal_blueprint, swapped_blueprint

SIZE_PX = 140


def rendered(
    category: str, defect: str, index: int = 0, *, seed: int = 5, pristine: bool = False
) -> SyntheticPart:
    return render_part(
        category, seed=seed, split="test", defect=defect, index=index, size_px=SIZE_PX, pristine=pristine
    )


def measured(part: SyntheticPart) -> NDArray[np.bool_]:
    return np.asarray((part.xyz != 0).any(axis=-1), dtype=np.bool_)


def height_mm(part: SyntheticPart) -> NDArray[np.float64]:
    plane = np.array(part.info["plane"])
    return np.asarray(1000.0 * (part.xyz.astype(np.float64) @ plane[:3] + plane[3]), dtype=np.float64)


def grown(mask: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    return np.asarray(ndimage.binary_dilation(mask, iterations=radius_px), dtype=np.bool_)


def test_there_are_enough_categories_and_all_kinds_of_defect() -> None:
    """At least five products, and the defects the documentation promises."""
    assert len(CATEGORIES) >= 5
    assert set(DEFECTS) == {"hole", "bump", "dent", "scratch", "stain", "missing", "swap", "misgrade"}


@pytest.mark.parametrize("category", CATEGORIES)
def test_good_parts_differ_in_one_modality_alone(category: str) -> None:
    """Marks without relief and relief without colour are on good parts: neither is by itself a defect."""
    from cmfm_sim.datasets.synthetic.canvas import Canvas
    from cmfm_sim.datasets.synthetic.wear import wear

    axis = np.linspace(-50, 50, 120, dtype=np.float32)
    u_mm, v_mm = np.meshgrid(axis, axis)
    plain = Canvas(u_mm, v_mm)
    spec = CATEGORIES[category]
    spec.draw(plain, nominal_blueprint(spec, np.random.default_rng(3)), np.random.default_rng(4))
    moved, tinted = [], []
    for seed in range(6):
        worn = plain.copy()
        wear(worn, np.random.default_rng(seed))
        moved.append(np.abs(worn.height_mm - plain.height_mm)[plain.part])
        roots = np.sqrt(np.abs(worn.albedo)) - np.sqrt(np.abs(plain.albedo))
        tinted.append(np.abs(roots).max(axis=-1)[plain.part])
    assert 0.3 < np.max(moved) < 1.6
    assert np.max(tinted) > 0.08
    assert abs(np.corrcoef(np.ravel(moved), np.ravel(tinted))[0, 1]) < 0.4


def test_a_spill_is_one_region_with_its_drops() -> None:
    """AUPRO weighs every region alike: a drop of a few pixels beside a stain is not marked as a defect of its own."""
    for index in range(4):
        part = rendered("praline", "stain", index)
        sizes = np.bincount(ndimage.label(part.gt, np.ones((3, 3)))[0].ravel())[1:]
        assert len(sizes) <= 3
        assert sizes.max() > 0.5 * part.gt.sum()


def test_the_same_arguments_give_the_same_part() -> None:
    """A data set can be made again anywhere, part by part, in any order."""
    first = rendered("biscuit", "hole", 3)
    rendered("circuit", "stain", 1)
    again = rendered("biscuit", "hole", 3)
    np.testing.assert_array_equal(first.rgb, again.rgb)
    np.testing.assert_array_equal(first.xyz, again.xyz)
    np.testing.assert_array_equal(first.gt, again.gt)


def test_every_argument_changes_the_part() -> None:
    """No two parts of a data set are the same picture."""
    common = {"category": "praline", "seed": 1, "split": "train", "defect": "good", "index": 0}
    others = ({"seed": 2}, {"split": "validation"}, {"index": 1}, {"defect": "bump"})
    base = render_part(**common, size_px=64).rgb.astype(int)  # type: ignore[arg-type]  # a table of arguments
    for other in others:
        changed = render_part(**(common | other), size_px=64).rgb.astype(int)  # type: ignore[arg-type]  # same
        assert np.abs(changed - base).mean() > 3


def test_the_picture_size_does_not_change_the_part() -> None:
    """A preview at half the size shows the same product in the same pose and light."""
    small = render_part("valve_block", seed=4, split="train", defect="good", index=2, size_px=128)
    large = render_part("valve_block", seed=4, split="train", defect="good", index=2, size_px=256)
    reduced = large.rgb.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
    assert np.abs(reduced - small.rgb).mean() < 6
    assert small.info["shape_kinds"] == large.info["shape_kinds"]


@pytest.mark.parametrize("category", CATEGORIES)
def test_points_are_what_a_pinhole_camera_over_a_tilted_tray_measures(category: str) -> None:
    """Points lie on their pixels' rays, half a metre away; the tray is a plane under the part on all four sides."""
    part = rendered(category, "good")
    ok = measured(part)
    assert part.rgb.dtype == np.uint8
    assert part.xyz.dtype == np.float32
    assert part.gt.dtype == np.bool_
    assert 0.42 < part.xyz[ok][:, 2].min() < part.xyz[ok][:, 2].max() < 0.58

    column = part.xyz[..., 0] / np.where(ok, part.xyz[..., 2], 1.0) * part.info["focal_px"]
    expected = np.broadcast_to(np.arange(SIZE_PX) - (SIZE_PX - 1) / 2, column.shape)
    np.testing.assert_allclose(column[ok], expected[ok], atol=0.01)

    normal = np.array(part.info["plane"][:3])
    assert np.linalg.norm(normal) == pytest.approx(1.0)
    assert normal[2] < -np.cos(np.deg2rad(6.0))  # towards the camera, tilted by no more than its mount allows
    height = height_mm(part)
    for side in (height[:3], height[-3:], height[:, :3], height[:, -3:]):
        assert (np.abs(side) < 0.6).mean() > 0.9
    assert 12.0 < np.percentile(height[ok], 99.5) < 30.0


def test_trays_are_tilted_differently() -> None:
    """The background removal of a line is not shown one and the same plane."""
    normals = np.array([rendered("handle", "good", i).info["plane"][:3] for i in range(6)])
    tilt_deg = np.rad2deg(np.arccos(-normals[:, 2]))
    assert tilt_deg.max() < 6.0
    assert np.ptp(normals[:, 0]) > 0.03
    assert np.ptp(normals[:, 1]) > 0.03


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_sensor_has_noise_and_loses_points(category: str) -> None:
    """Depth noise of about 0.1 mm on the tray, a few lost points, most of them at the part's steep edges."""
    part = rendered(category, "good", 1)
    ok, height = measured(part), height_mm(part)
    tray = ok & (np.abs(height) < 0.6)
    assert 0.04 < height[tray].std() < 0.2
    assert 0.001 < 1.0 - ok.mean() < 0.12
    body = grown(ok & (height > 3.0), 2)
    assert (~ok & body).sum() > 0.6 * (~ok).sum()


def test_parts_vary_in_pose_and_light() -> None:
    """Parts vary in what no defect is: where the part lies, how it is turned, how bright the lamp is."""
    parts = [rendered("praline", "good", i) for i in range(8)]
    centres = np.array([np.argwhere(height_mm(part) > 5).mean(axis=0) for part in parts])
    assert (np.ptp(centres, axis=0) > 0.03 * SIZE_PX).all()
    assert np.ptp([part.info["turn_rad"] for part in parts]) > 0.5
    brightness = [part.rgb[:20].mean() for part in parts]
    assert np.ptp(brightness) > 8


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("defect", DEFECTS)
def test_the_ground_truth_is_where_the_part_was_changed(category: str, defect: str) -> None:
    """It covers what differs from the same part before the damage, and lies on the part."""
    part = rendered(category, defect)
    before = rendered(category, defect, pristine=True)
    assert part.gt.sum() >= 15
    assert not before.gt.any()

    both = measured(part) & measured(before)
    moved = np.abs(part.xyz - before.xyz).max(axis=-1) > 1e-6
    tinted = np.abs(part.rgb.astype(int) - before.rgb).max(axis=-1) > 4
    assert not (both & moved & ~grown(part.gt, 3)).any()
    assert ((moved | tinted) & part.gt).sum() > 0.8 * part.gt.sum()
    assert (height_mm(before)[part.gt & measured(before)] > 1.0).mean() > 0.95


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_good_part_has_no_ground_truth(category: str) -> None:
    """Nothing is marked where nothing is wrong."""
    assert not rendered(category, "good").gt.any()


@pytest.mark.parametrize(
    ("defect", "shape_changes", "colour_changes"),
    [
        ("bump", True, False),
        ("dent", True, False),
        ("stain", False, True),
        ("hole", True, True),
        ("swap", False, True),
        ("misgrade", False, True),
    ],
)
def test_defects_change_the_modality_they_should(
    defect: str, shape_changes: bool, colour_changes: bool
) -> None:
    """Bumps and dents have no colour of their own, a stain and a pairing no height, a hole both."""
    from cmfm_sim.datasets.synthetic.canvas import Canvas
    from cmfm_sim.datasets.synthetic.part import _make, _streams

    axis = np.linspace(-50, 50, 160, dtype=np.float32)
    u_mm, v_mm = np.meshgrid(axis, axis)
    nominal, _, made = _make(CATEGORIES["praline"], u_mm, v_mm, _streams(3, "x"), defect)
    assert isinstance(made, Canvas)
    assert bool(np.abs(made.height_mm - nominal.height_mm).max() > 0.2) is shape_changes
    assert bool(np.abs(made.albedo - nominal.albedo).max() > 0.02) is colour_changes


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_swap_leaves_every_point_where_it_was(category: str) -> None:
    """3D alone cannot see a swap: all points measured in both are the nominal part's."""
    part = rendered(category, "swap", 2)
    before = rendered(category, "swap", 2, pristine=True)
    both = measured(part) & measured(before)
    np.testing.assert_array_equal(part.xyz[both], before.xyz[both])
    assert part.info["shape_kinds"] == before.info["shape_kinds"]
    swapped = np.array(part.info["colour_kinds"]) != np.array(part.info["shape_kinds"])
    assert 1 <= swapped.sum() <= 2


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_modality_of_a_swap_is_nominal(category: str) -> None:
    """Colours of swapped parts are distributed like those of good ones, element by element and pair by pair."""
    spec, rng = CATEGORIES[category], np.random.default_rng(8)
    kinds, draws = len(spec.kinds), 6000
    colours = np.empty((draws, spec.elements), dtype=int)
    for i in range(draws):
        nominal = nominal_blueprint(spec, rng)
        assert nominal.shape_kinds == nominal.colour_kinds
        swapped = swapped_blueprint(spec, nominal, rng)
        assert swapped.shape_kinds == nominal.shape_kinds
        assert swapped.colour_kinds != nominal.colour_kinds
        colours[i] = swapped.colour_kinds
    for element in range(spec.elements):
        share = np.bincount(colours[:, element], minlength=kinds) / draws
        np.testing.assert_allclose(share, 1 / kinds, atol=0.03)
    pairs = np.bincount(colours[:, 0] * kinds + colours[:, 1], minlength=kinds**2) / draws
    np.testing.assert_allclose(pairs, 1 / kinds**2, atol=0.02)


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_modality_of_a_misgrade_is_nominal(category: str) -> None:
    """Its shades are distributed like those of good parts; only the pairing of one or two with their shapes is off."""
    spec, rng = CATEGORIES[category], np.random.default_rng(8)
    shades = []
    for _ in range(3000):
        nominal = nominal_blueprint(spec, rng)
        made = misgraded_blueprint(spec, nominal, rng)
        assert (made.shape_kinds, made.colour_kinds) == (nominal.shape_kinds, nominal.colour_kinds)
        assert made.shape_grades == nominal.shape_grades == nominal.colour_grades
        off = np.abs(np.subtract(made.colour_grades, made.shape_grades))
        assert 1 <= np.count_nonzero(off) <= 2
        assert (off[off > 0] >= 0.4 - 1e-9).all()
        shades.append(made.colour_grades)
    share, _ = np.histogram(shades, bins=5, range=(0.0, 1.0))
    np.testing.assert_allclose(share / share.sum(), 0.2, atol=0.02)


def test_colour_tells_the_shape_of_good_parts() -> None:
    """The pairing a worker is to learn is there: caps of one colour share a height, other colours have others."""
    heights: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for index in range(4):
        part = rendered("valve_block", "swap", index)
        before = rendered("valve_block", "swap", index, pristine=True)
        shape, tint = part.info["shape_kinds"], part.info["colour_kinds"]
        labels, count = ndimage.label(part.gt)
        swapped = [s for s, c in zip(shape, tint, strict=True) if s != c]
        if count != 1 or len(swapped) != 1:
            continue
        cap = (labels == 1) & measured(before)
        heights[swapped[0]].append(float(np.median(height_mm(before)[cap])))
    flat = {kind: np.mean(values) for kind, values in heights.items() if values}
    assert len(flat) >= 2
    assert np.ptp(list(flat.values())) > 1.5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"category": "bagel"}, "'bagel' is unknown; there are biscuit"),
        ({"defect": "crack"}, "'crack' is unknown; there are good, hole"),
        ({"size_px": 10}, "64 to 2048 pixels"),
        ({"seed": -1}, "must not be negative"),
        ({"index": -1}, "must not be negative"),
    ],
)
def test_what_cannot_be_rendered_is_refused(wrong: dict[str, object], said: str) -> None:
    """The message says what would be possible."""
    good = {"category": "biscuit", "seed": 0, "split": "test", "defect": "good", "index": 0, "size_px": 64}
    with pytest.raises(ValueError, match=said):
        render_part(**(good | wrong))  # type: ignore[arg-type]  # a table of arguments
