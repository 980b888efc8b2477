"""The mapping networks of suppl. B against literal forms of them."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from cmfm_worker.cfm.mapping.conv_encoder_decoder import ConvEncoderDecoder
from cmfm_worker.cfm.mapping.networks import Mapping, MappingNetwork, MlpEncoderDecoder
from cmfm_worker.cfm.mapping.pair import MappingPair, new_pair
from cmfm_worker.cfm.variants import Architecture, Modality

D2, D3 = 768, 1152


def paper_sized(architecture: Architecture, modality: Modality = "cross") -> MappingPair:
    """Shapes without numbers."""
    with torch.device("meta"):
        return new_pair(D2, D3, architecture, modality)


def widths(network: MappingNetwork) -> list[int]:
    """The ends of the linear layers, in the order of computation. Each layer must fit the one before."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    for one, following in pairwise(layers):
        assert one.out_features == following.in_features
    return [layers[0].in_features, *(layer.out_features for layer in layers)]


def test_encoder_decoder_has_the_widths_of_the_supplement() -> None:
    """The widths are those that suppl. B lists, beside the three layers of the main paper's network."""
    pair = paper_sized("mlp_encoder_decoder")
    assert widths(pair.to_3d) == [768, 384, 192, 192, 384, 1152]
    assert widths(pair.to_2d) == [1152, 576, 288, 288, 576, 768]
    assert widths(paper_sized("mlp").to_3d) == [768, 960, 960, 1152]


def test_intramodal_networks_differ_in_their_input_alone() -> None:
    """Each network reconstructs its own modality through the hidden widths of the crossmodal network (Table 7)."""
    pair = paper_sized("mlp_encoder_decoder", "intra")
    assert widths(pair.to_3d) == [1152, 384, 192, 192, 384, 1152]
    assert widths(pair.to_2d) == [768, 576, 288, 288, 576, 768]
    assert widths(paper_sized("mlp", "intra").to_2d) == [768, 960, 960, 768]
    convolutions = paper_sized("conv_encoder_decoder", "intra")
    assert channels(convolutions.to_2d) == [(768, 1152), (1152, 1152), (1152, 1152), (1152, 768)]


@pytest.mark.parametrize("d_in", [1, 2, 3, 7])
def test_narrow_features_are_halved_down_to_one(d_in: int) -> None:
    """Widths are halved, rounded down, and never become 0."""
    half, quarter = max(1, d_in // 2), max(1, d_in // 4)
    network = MlpEncoderDecoder(d_in, 5)
    assert widths(network) == [d_in, half, quarter, quarter, half, 5]
    assert network(torch.randn(3, d_in)).shape == (3, 5)


def test_encoder_decoder_is_the_literal_one() -> None:
    """The network is linear layers with GELU after each except the last."""
    torch.manual_seed(1)
    network, E = MlpEncoderDecoder(12, 7), torch.randn(20, 12)
    literal = nn.Sequential(
        nn.Linear(12, 6), nn.GELU(), nn.Linear(6, 3), nn.GELU(), nn.Linear(3, 3), nn.GELU(), nn.Linear(3, 6),
        nn.GELU(), nn.Linear(6, 7),
    )  # fmt: skip
    copied(network, literal)
    torch.testing.assert_close(network(E), literal(E))


def channels(network: MappingNetwork) -> list[tuple[int, int]]:
    """In and out of every convolution, in the order of computation."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    return [(layer.in_channels, layer.out_channels) for layer in layers]


def test_convolutions_keep_their_channels_up_to_the_last_layer() -> None:
    """All layers have the input's channels, and the last has the output's (suppl. B)."""
    pair = paper_sized("conv_encoder_decoder")
    assert channels(pair.to_3d) == [(768, 768), (768, 768), (768, 768), (768, 1152)]
    assert channels(pair.to_2d) == [(1152, 1152), (1152, 1152), (1152, 1152), (1152, 768)]


def literal_convolutions(d_in: int, d_out: int) -> nn.Sequential:
    """Suppl. B: two 3×3 convolutions and max-pooling, one 3×3 and a transpose 2×2, with ReLU after all except the
    last.
    """
    return nn.Sequential(
        nn.Conv2d(d_in, d_in, 3, padding=1), nn.ReLU(), nn.Conv2d(d_in, d_in, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(d_in, d_in, 3, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(d_in, d_out, 2, stride=2),
    )  # fmt: skip


def copied(network: nn.Module, literal: nn.Sequential) -> None:
    """Copy the network's weights to the literal form."""
    own = list(network.state_dict().values())
    literal.load_state_dict(dict(zip(literal.state_dict(), own, strict=True)))


def masks() -> Tensor:
    """Parts at odd and even pixels, a whole image, a single pixel, one part on two borders, and an empty mask."""
    mask = torch.zeros(6, 224, 224, dtype=torch.bool)
    mask[0, 41:98, 62:131] = torch.rand(57, 69) < 0.7
    mask[1] = True
    mask[2, 100, 121] = True
    mask[3, 200:, :31] = torch.rand(24, 31) < 0.5
    mask[5, 5:11, 213:219] = True
    return mask


def test_convolutions_are_those_on_the_whole_map_with_zeros_outside_the_mask() -> None:
    """Computing on the part's rectangle changes nothing, wherever the part is."""
    torch.manual_seed(2)
    mask = masks()
    network, literal = ConvEncoderDecoder(5, 4).double(), literal_convolutions(5, 4).double()
    copied(network, literal)
    E = torch.randn(int(mask.sum()), 5, dtype=torch.float64)
    dense = torch.zeros(*mask.shape, 5, dtype=torch.float64)
    dense[mask] = E
    expected = literal(dense.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)[mask]  # B H W C -> B C H W and back
    torch.testing.assert_close(network(E, mask), expected, rtol=1e-10, atol=1e-12)


def test_convolutions_learn_as_on_the_whole_map() -> None:
    """Gradients, too, are those of the literal form."""
    torch.manual_seed(3)
    mask = masks()[:1]
    network, literal = ConvEncoderDecoder(3, 2).double(), literal_convolutions(3, 2).double()
    copied(network, literal)
    E, wanted = (torch.randn(int(mask.sum()), width, dtype=torch.float64) for width in (3, 2))
    (network(E, mask) - wanted).square().mean().backward()
    dense = torch.zeros(*mask.shape, 3, dtype=torch.float64)
    dense[mask] = E
    predicted = literal(dense.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)[mask]
    (predicted - wanted).square().mean().backward()
    for one, same in zip(network.parameters(), literal.parameters(), strict=True):
        torch.testing.assert_close(one.grad, same.grad, rtol=1e-9, atol=1e-12)


def test_convolutions_see_what_lies_around_and_the_others_do_not() -> None:
    """A neighbour's feature changes the prediction of convolutions and of no other network."""
    torch.manual_seed(4)
    mask = torch.zeros(1, 224, 224, dtype=torch.bool)
    mask[0, 50, 50:52] = True
    E = torch.randn(2, 6)
    other = E.clone()
    other[1] += 1
    for network in (ConvEncoderDecoder(6, 6), Mapping(6, 6), MlpEncoderDecoder(6, 6)):
        same = torch.equal(network(E, mask)[0], network(other, mask)[0])
        assert same is not network.whole_maps


def test_convolutions_need_a_mask() -> None:
    """Convolutions refuse packed rows without a mask."""
    with pytest.raises(ValueError, match="needs the mask"):
        ConvEncoderDecoder(3, 3)(torch.randn(4, 3))


@pytest.mark.parametrize("architecture", ["mlp", "mlp_encoder_decoder", "conv_encoder_decoder"])
def test_spread_has_the_form_of_the_output(architecture: Architecture) -> None:
    """log σ has the shape of Ê and is bounded; a channel that is made constant is constant for every input."""
    torch.manual_seed(5)
    mask = torch.zeros(1, 224, 224, dtype=torch.bool)
    mask[0, 10:14, 20:25] = True
    network = new_pair(4, 6, architecture, spread=True).to_3d
    values = torch.arange(6.0)
    network.predict_constants(values > 3, values)
    E_hat, log_spread = network.with_log_spread(100 * torch.randn(20, 4), mask)
    assert E_hat.shape == log_spread.shape == (20, 6)
    assert torch.equal(E_hat[:, 4:], values[4:].expand(20, 2))
    assert -4 <= log_spread.min() <= log_spread.max() <= 3
    assert E_hat[:, :4].std(0).min() > 0
