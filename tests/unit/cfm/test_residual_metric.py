"""The metric on residuals: it finds defects that show in few channels, and ignores what good parts show."""

import pytest
import torch
from torch import Tensor

from cmfm_worker.cfm.classic import residual_metric
from cmfm_worker.cfm.classic.residual_metric import ResidualMetric, residuals

C_2D, C_3D = 12, 8
Pair = tuple[Tensor, Tensor]


def drawn(seed: int, count: int = 20_000) -> Tensor:
    return torch.randn(count, C_2D + C_3D, generator=torch.Generator().manual_seed(seed))


def fit_metric(good: Pair, defective: Pair, seed: int = 0, beside: Pair | None = None) -> ResidualMetric:
    none = good[0][:0], good[1][:0]
    return residual_metric.fit_metric(good, defective, beside or none, steps=1000, seed=seed)


def both(z: Tensor) -> Pair:
    return z[:, :C_2D], z[:, C_2D:]


def told_apart(metric: ResidualMetric, good: Tensor, defective: Tensor) -> float:
    """The probability that a defective pixel has the larger product than a good one (AUROC)."""
    on_good, on_defective = (torch.mul(*metric(*both(z))).sort().values for z in (good, defective))
    return float(torch.searchsorted(on_good, on_defective).double().mean() / len(on_good))


def test_a_defect_in_few_channels_is_found_among_many() -> None:
    """A defect that is lost if all channels count alike is found by the metric."""

    def with_defect(z: Tensor) -> Tensor:
        z = z.clone()
        z[:, 0] += 2.0
        z[:, C_2D] -= 2.0
        return z

    metric = fit_metric(both(drawn(1)), both(with_defect(drawn(2))))
    unlearned = ResidualMetric.unlearned(C_2D, C_3D)
    good, defective = drawn(3), with_defect(drawn(4))
    assert told_apart(metric, good, defective) > told_apart(unlearned, good, defective) + 0.08


def test_deviations_of_good_parts_raise_no_alarm() -> None:
    """A channel with a long tail (grains that no colour shows) raises no more alarms."""

    def with_grains(z: Tensor) -> Tensor:
        z = z.clone()
        z[::50, -1] *= 20.0
        return z

    defective = with_grains(drawn(2))
    defective[:, 0] += 2.0
    defective[:, C_2D] += 2.0
    metric = fit_metric(both(with_grains(drawn(1))), both(defective))
    highest = {
        name: torch.mul(*m(*both(with_grains(drawn(3)))))[::50].mean()
        for name, m in (("learned", metric), ("unlearned", ResidualMetric.unlearned(C_2D, C_3D)))
    }
    assert highest["learned"] < 0.5 * highest["unlearned"]


def test_common_errors_of_both_modalities_do_not_hide_a_defect() -> None:
    """Errors that both modalities make together on good parts do not hide a defect in one of them."""

    def common(seed: int) -> Tensor:
        z = drawn(seed)
        z[:, C_2D] = z[:, 0] + 0.3 * z[:, C_2D]
        return z

    defective = common(2)
    defective[:, C_2D] += 1.5
    metric = fit_metric(both(common(1)), both(defective))
    fresh = common(4)
    fresh[:, C_2D] += 1.5
    unlearned = ResidualMetric.unlearned(C_2D, C_3D)
    assert told_apart(metric, common(3), fresh) > 0.85
    assert told_apart(unlearned, common(3), fresh) < 0.65


def test_channels_that_reach_far_around_a_defect_get_less_weight() -> None:
    """A channel that a defect raises far around itself gets less weight than one that it raises locally."""

    def lifted(seed: int, *channels: int) -> Tensor:
        z = drawn(seed)
        z[:, list(channels)] += 2.0
        return z

    good, defective, halo = drawn(1), lifted(2, 0, 1, C_2D, C_2D + 1), lifted(3, 1, C_2D + 1)
    metric = fit_metric(both(good), both(defective), beside=both(halo))
    without = fit_metric(both(good), both(defective))
    assert told_apart(metric, halo, defective) > told_apart(without, halo, defective) + 0.03
    assert told_apart(metric, good, defective) > 0.95


def test_nominal_pixels_are_about_1() -> None:
    """Nominal pixels are about 1 in both modalities, so that neither outweighs the other in the product."""
    metric = fit_metric(both(drawn(1)), both(3.0 * drawn(2)))
    for psi in metric(*both(drawn(3))):
        assert float(psi.square().mean().sqrt()) == pytest.approx(1.0, abs=0.05)


def test_the_same_residuals_and_seed_give_the_same_metric() -> None:
    """A fit can be repeated; another seed draws other pixels."""
    good, defective = both(drawn(1, 3000)), both(2.0 * drawn(2, 3000))
    first, again, other = (fit_metric(good, defective, seed) for seed in (0, 0, 1))
    assert torch.equal(first.on_2d, again.on_2d)
    assert torch.equal(first.on_3d, again.on_3d)
    assert not torch.equal(first.on_2d, other.on_2d)


def test_spreads_and_residuals_are_bounded() -> None:
    """A spread has a least value and a residual a greatest one."""
    E, E_hat = torch.tensor([[0.3, 1.0, 1e6]]), torch.zeros(1, 3)
    z = residuals(E, E_hat, torch.tensor([[-20.0, 0.0, 0.0]]))
    torch.testing.assert_close(z, torch.tensor([[2.0, 1.0 / (1 + 0.15**2) ** 0.5, 30.0]]))
    assert torch.equal(residuals(-E, E_hat, torch.zeros(1, 3)), -residuals(E, E_hat, torch.zeros(1, 3)))
