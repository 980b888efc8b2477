"""Convolutions for inference against the layers that they replace, in every form that a device may use."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cmfm_worker.cfm.fast import frozen_convolution
from cmfm_worker.cfm.fast.frozen_convolution import FrozenConvolution, freeze_convolutions


@pytest.fixture(params=["packed", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a test with oneDNN's order of weights and, as on other devices, without it."""
    if request.param == "plain":
        monkeypatch.setattr(frozen_convolution, "_can_pack", lambda *_: False)


def layers() -> list[nn.Conv2d]:
    """Convolutions of every shape that networks here have, weights large enough that ReLU6 cuts off at both ends."""
    torch.manual_seed(1)
    made = [
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 8, 6, stride=2, padding=2, groups=8, bias=False),
        nn.Conv2d(8, 20, 1),
        nn.Conv2d(8, 5, 3, padding=2, dilation=2),
    ]
    for layer in made:
        layer.weight.data.mul_(20.0)
    return made


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("layer", layers())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_gives_what_the_layers_give_that_it_replaces(layer: nn.Conv2d, dtype: torch.dtype) -> None:
    """Without and with ReLU6, pictures of several shapes one after another, and one in channels-last order."""
    layer = layer.to(dtype)
    pictures = [torch.randn(1, 8, 40, 40), torch.randn(3, 8, 6, 18)]
    pictures += [pictures[0].contiguous(memory_format=torch.channels_last)]
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for relu6 in (False, True):
        frozen = FrozenConvolution(layer, relu6=relu6)
        for x in (picture.to(dtype) for picture in pictures):
            expected = layer(x)
            found = frozen(x)
            assert found.dtype == dtype
            torch.testing.assert_close(
                found,
                nn.functional.relu6(expected) if relu6 else expected,
                rtol=tolerance,
                atol=20 * tolerance,
            )
    assert 0 < float((expected > 6).float().mean()) < 1


@pytest.mark.usefixtures("way")
def test_a_relu6_is_merged_into_the_convolution_before_it_and_into_no_other() -> None:
    """A ReLU6 after another layer, another activation, and a convolution at the end stay what they were."""
    torch.manual_seed(2)
    inner = nn.Sequential(nn.Conv2d(4, 6, 1), nn.ReLU6(inplace=True), nn.Conv2d(6, 6, 3, groups=6), nn.SiLU())
    network = nn.Sequential(nn.ReLU6(), inner, nn.ReLU6(), nn.Conv2d(6, 3, 1)).eval().requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.mul_(10.0)
    x = torch.randn(2, 4, 12, 12)
    before = network(x)
    frozen = freeze_convolutions(network)
    torch.testing.assert_close(frozen(x), before, rtol=1e-5, atol=1e-4)
    kinds = [type(layer).__name__ for layer in frozen.modules() if not list(layer.children())]
    assert kinds == [
        "ReLU6",
        "FrozenConvolution",
        "Identity",
        "FrozenConvolution",
        "SiLU",
        "ReLU6",
        "FrozenConvolution",
    ]


def test_weights_may_move_until_the_first_call() -> None:
    """A network whose weights were brought to another dtype after it was frozen computes in that."""
    torch.manual_seed(3)
    network = freeze_convolutions(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6())).requires_grad_(False)
    assert network.to(torch.bfloat16)(torch.randn(1, 3, 9, 9, dtype=torch.bfloat16)).dtype == torch.bfloat16
