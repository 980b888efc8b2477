"""Linear layers for inference against their formula, in every form that a device may use."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmfm_worker.cfm.fast import frozen_linear
from cmfm_worker.cfm.fast.frozen_linear import Activation, FrozenLinear, freeze
from cmfm_worker.cfm.fast.precision import as_precision, automatic, why_not


@pytest.fixture(params=["packed", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a test with oneDNN's order of weights and, as on other devices, without it."""
    if request.param == "plain":
        monkeypatch.setattr(frozen_linear, "_can_pack", lambda *_: False)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("activation", ["none", "relu", "gelu"])
@pytest.mark.parametrize("rows", [(0,), (1,), (3, 5), (2500,)])
def test_layer_is_its_formula(activation: Activation, rows: tuple[int, ...]) -> None:
    """The layer equals its formula for any leading shape, also an empty one, with bias and activation."""
    torch.manual_seed(1)
    W, b, x = torch.randn(11, 7), torch.randn(11), torch.randn(*rows, 7)
    y = x @ W.T + b
    expected = {"none": y, "relu": F.relu(y), "gelu": F.gelu(y)}[activation]
    torch.testing.assert_close(FrozenLinear(W, b, activation)(x), expected)
    torch.testing.assert_close(FrozenLinear(W)(x), x @ W.T)


@pytest.mark.usefixtures("way")
def test_rows_may_be_part_of_wider_ones() -> None:
    """Columns of a wider matrix give the same result as their copy."""
    torch.manual_seed(2)
    W, x = torch.randn(4, 5), torch.randn(6, 9)
    torch.testing.assert_close(FrozenLinear(W)(x[:, 4:]), x[:, 4:] @ W.T)


class Small(nn.Module):
    """A network with everything that freezing treats specially."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3, bias=False)
        self.tail = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.tail(self.fc2(self.act(self.fc1(x))))
        return out


@pytest.mark.usefixtures("way")
def test_frozen_network_computes_what_it_did_and_keeps_nothing_of_its_file() -> None:
    """The numbers are the same, nothing can be trained, and later changes of the file's tensors have no effect."""
    torch.manual_seed(3)
    network, x = Small(), torch.randn(4, 6)
    read = [parameter.data for parameter in network.parameters()]
    expected = network(x).detach()
    frozen = freeze(network)
    assert not any(p.requires_grad for p in frozen.parameters())
    assert not any(isinstance(layer, nn.Linear) for layer in frozen.modules())
    for tensor in read:
        tensor.zero_()
    torch.testing.assert_close(frozen(x), expected)


@pytest.mark.usefixtures("way")
def test_bf16_layer_takes_float32_and_returns_bf16() -> None:
    """The layer casts its input to its own precision."""
    torch.manual_seed(4)
    W, b, x = torch.randn(64, 32), torch.randn(64), torch.randn(10, 32)
    y = FrozenLinear(W, b, dtype=torch.bfloat16)(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), x @ W.T + b, rtol=3e-2, atol=1e-1)


@pytest.mark.parametrize("activation", ["none", "gelu"])
def test_int8_layer_keeps_two_digits_of_every_row(activation: Activation) -> None:
    """Rows of very different size are quantised separately: 1.5 % each. Zero rows stay zero, no rows are accepted."""
    torch.manual_seed(5)
    W, b, x = torch.randn(64, 256), torch.randn(64), torch.randn(3, 5, 256)
    x *= torch.logspace(-6, 6, 15).view(3, 5, 1)
    x[2, 1] = 0
    y = FrozenLinear(W, None, activation, torch.int8)(x)
    expected = F.gelu(x @ W.T) if activation == "gelu" else x @ W.T
    assert y.dtype == torch.float32
    error = (y - expected).norm(dim=-1) / expected.norm(dim=-1).clamp(min=1e-30)
    assert error.max() < 0.015
    assert not y[2, 1].any()
    assert FrozenLinear(W, b, activation, torch.int8)(x[:0]).shape == (0, 5, 64)
    torch.testing.assert_close(FrozenLinear(W, b, "none", torch.int8)(x[2, 1:2]), b[None])


def test_precisions_a_cpu_lacks_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """fp32 is always offered. Others are offered if the instructions exist, else the missing ones are named."""
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert why_not("fp32", cpu) is None
    assert why_not("bf16", cpu) == "bf16 needs a CPU with avx512_bf16 or amx_tile; use fp32"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert why_not("bf16", cpu) is None
    assert automatic(cpu) == "fp32", "whatever it could do"
    with pytest.raises(ValueError, match="fp32, bf16, fp16, int8, not 'fp8'"):
        as_precision("fp8")
