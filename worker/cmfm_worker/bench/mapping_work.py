"""The least work of the mapping stage, for every architecture (`work.py` says what is counted)."""

from __future__ import annotations

from cmfm_worker.bench.sizes import F32, Sizes, Work
from cmfm_worker.cfm.mapping.conv_encoder_decoder import ConvEncoderDecoder
from cmfm_worker.cfm.mapping.networks import MappingNetwork, PixelwiseNetwork
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.points.grouping import CENTRES


def mapping_of_tokens(sizes: Sizes, mapping: MappingPair, dtype_bytes: int) -> Work:
    """Count the work for features as tokens (`paper`): first layers and rotations are computed at the tokens."""
    tokens_2d, tokens_3d = sizes.image_tokens, sizes.frames * CENTRES
    flop = numbers = 0.0
    for network, own, other in ((mapping.to_3d, tokens_3d, tokens_2d), (mapping.to_2d, tokens_2d, tokens_3d)):
        if isinstance(network, PixelwiseNetwork):
            work, held = _at_tokens(network, other if mapping.modality == "cross" else own, own, sizes.pixels)
        else:
            work, held = _at_pixels(network, sizes)
        flop, numbers = flop + work, numbers + held
    read = (mapping.d2 * tokens_2d + mapping.d3 * tokens_3d + 2 * sizes.pixels) * F32
    return Work(flop, read + sizes.entries * 2 * F32 + numbers * dtype_bytes)


def mapping_of_pixels(sizes: Sizes, mapping: MappingPair) -> Work:
    """Count the work for features at the pixels (`classic`), in float32."""
    found = [_at_pixels(network, sizes) for network in (mapping.to_3d, mapping.to_2d)]
    flop, numbers = (sum(column) for column in zip(*found, strict=True))
    width = mapping.d2 + mapping.d3
    return Work(flop, (sizes.pixels * width + 2 * sizes.pixels + numbers) * F32)


def _at_tokens(
    network: PixelwiseNetwork, tokens_in: int, tokens_out: int, pixels: int
) -> tuple[float, float]:
    """Count first layer and rotation at the tokens, the rest at the pixels: (operations, weights)."""
    hidden, d_out = network.hidden, network.d_out
    first, middle = network.input.weight.numel(), sum(layer.weight.numel() for layer in network.middle)
    rank = min(hidden, d_out)
    triangle = rank * hidden - rank * (rank - 1) // 2
    at_tokens = tokens_in * first + tokens_out * d_out**2
    return 2.0 * (at_tokens + pixels * (middle + triangle)), first + d_out**2 + middle + triangle


def _at_pixels(network: MappingNetwork, sizes: Sizes) -> tuple[float, float]:
    """Count all layers at the pixels, convolutions at those of the part's rectangle: (operations, weights)."""
    weights = sum(p.numel() for p in network.parameters() if p.dim() > 1)
    if not isinstance(network, ConvEncoderDecoder):
        return 2.0 * sizes.pixels * weights, weights
    whole = network.input.weight.numel() + network.encoder.weight.numel()
    # After the pooling a quarter of the pixels is left; each gives four pixels of the output.
    return 2.0 * sizes.map_pixels * (whole + (weights - whole) / 4), weights
