"""Mapping networks: their shape, the published files, a recipe's file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from cmfm_worker.cfm.mapping.files import load_published, load_safetensors, save_safetensors
from cmfm_worker.cfm.mapping.pair import Mapping, MappingPair, Standardiser, new_pair
from cmfm_worker.cfm.variants import Architecture, Modality
from cmfm_worker.cfm.weights import WeightsError

D2, D3 = 6, 10


def make_pair(*, standardise: bool = False, hidden: int | None = None) -> MappingPair:
    """A small pair of random networks."""
    torch.manual_seed(3)
    means = [torch.randn(n) for n in (D2, D3)]
    scales = [torch.rand(n) + 0.5 for n in (D2, D3)]
    standardiser = Standardiser(means[0], scales[0], means[1], scales[1]) if standardise else None
    return MappingPair(Mapping(D2, D3, hidden), Mapping(D3, D2, hidden), standardiser)


def save_published(pair: MappingPair, folder: Path) -> tuple[Path, Path]:
    """The two files in the published naming."""
    paths = folder / "CFM_2Dto3D_bagel_250ep_4bs.pth", folder / "CFM_3Dto2D_bagel_250ep_4bs.pth"
    torch.save(pair.to_3d.state_dict(), paths[0])
    torch.save(pair.to_2d.state_dict(), paths[1])
    return paths


def test_hidden_width_is_the_mean_of_both_sides() -> None:
    """The hidden width between 768 and 1152 is 960, as in the paper."""
    assert Mapping(768, 1152).hidden == 960
    assert Mapping(4, 8, hidden=3).hidden == 3


def test_network_is_three_linear_layers_with_gelu_between() -> None:
    """The output is the formula written out; the last layer has no activation."""
    net, E = make_pair().to_3d, torch.randn(5, D2)
    w = net.state_dict()
    h = F.gelu(E @ w["input.weight"].T + w["input.bias"])
    h = F.gelu(h @ w["projection.weight"].T + w["projection.bias"])
    torch.testing.assert_close(net(E), h @ w["output.weight"].T + w["output.bias"])


def test_published_files_load(tmp_path: Path) -> None:
    """A pair from two published files computes what the saved one did, and is frozen."""
    pair, E2, E3 = make_pair(), torch.randn(4, D2), torch.randn(4, D3)
    loaded = load_published(*save_published(pair, tmp_path), d2=D2, d3=D3)
    assert (loaded.d2, loaded.d3) == (D2, D3)
    assert torch.equal(loaded.to_3d(E2), pair.to_3d(E2))
    assert torch.equal(loaded.to_2d(E3), pair.to_2d(E3))
    assert not any(p.requires_grad for net in (loaded.to_3d, loaded.to_2d) for p in net.parameters())


def test_swapped_published_files_are_refused(tmp_path: Path) -> None:
    """2D→3D in place of 3D→2D is refused with file, key and both shapes."""
    to_3d, to_2d = save_published(make_pair(), tmp_path)
    with pytest.raises(WeightsError, match=r"CFM_3Dto2D_.*'input\.weight' must have shape \(8, 6\)"):
        load_published(to_2d, to_3d, d2=D2, d3=D3)


def test_networks_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    """Both networks must have the same two widths."""
    to_3d, _ = save_published(make_pair(), tmp_path)
    other = tmp_path / "CFM_3Dto2D_other_250ep_4bs.pth"
    torch.save(Mapping(D3 + 2, D2).state_dict(), other)
    with pytest.raises(WeightsError, match=r"other.*must have shape .*found"):
        load_published(to_3d, other)


def test_widths_of_another_extractor_are_refused(tmp_path: Path) -> None:
    """A mapping for the full extractor is refused for the Tiny one."""
    with pytest.raises(WeightsError, match=r"'output\.weight' must have shape \(4, 8\), found \(10, 8\)"):
        load_published(*save_published(make_pair(), tmp_path), d2=D2, d3=4)


def test_file_of_another_network_is_refused(tmp_path: Path) -> None:
    """A backbone's file given as a mapping is refused with the keys that were expected."""
    path = tmp_path / "dino.pth"
    torch.save({"cls_token": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match=r"dino\.pth.*input\.weight.*cls_token"):
        load_published(path, path)


@pytest.mark.parametrize("standardise", [False, True])
def test_recipe_file_keeps_everything(standardise: bool, tmp_path: Path) -> None:
    """A pair is loaded as it was saved, with any hidden width and with or without standardiser; bytes are equal."""
    pair, E2, E3 = make_pair(standardise=standardise, hidden=5), torch.randn(4, D2), torch.randn(4, D3)
    save_safetensors(pair, tmp_path / "mapping.safetensors")
    loaded = load_safetensors(tmp_path / "mapping.safetensors")
    assert torch.equal(loaded.to_3d(E2), pair.to_3d(E2))
    assert torch.equal(loaded.to_2d(E3), pair.to_2d(E3))
    assert (loaded.standardise is not None) == standardise
    if loaded.standardise is not None and pair.standardise is not None:
        assert torch.equal(loaded.standardise(E2, E3)[1], pair.standardise(E2, E3)[1])
    save_safetensors(loaded, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "mapping.safetensors").read_bytes()


def test_recipe_file_keeps_networks_that_read_more_than_they_predict(tmp_path: Path) -> None:
    """A pair with context reads features of full width and predicts their first channels, also after saving."""
    torch.manual_seed(4)
    pair = MappingPair(Mapping(D2, D3 - 3), Mapping(D3, D2 - 1))
    save_safetensors(pair, tmp_path / "mapping.safetensors")
    loaded = load_safetensors(tmp_path / "mapping.safetensors")
    E2, E3 = torch.randn(4, D2), torch.randn(4, D3)
    assert (loaded.d2, loaded.d3) == (D2, D3)
    assert loaded.at_tokens is None
    assert torch.equal(loaded.to_2d(E3), pair.to_2d(E3))
    assert [E.shape[1] for E in loaded.predicted(E2, E3)] == [D2 - 1, D3 - 3]


def test_networks_of_different_pairs_are_refused(tmp_path: Path) -> None:
    """A network that predicts more channels than the other reads is refused."""
    save_safetensors(MappingPair(Mapping(D2, D3), Mapping(D3 - 2, D2)), tmp_path / "mapping.safetensors")
    with pytest.raises(
        WeightsError,
        match=r"declared as crossmodal, but 'to_3d' predicts 10 channels of features that have 8",
    ):
        load_safetensors(tmp_path / "mapping.safetensors")


def test_recipe_file_without_one_network_is_refused(tmp_path: Path) -> None:
    """A file with one network is refused with the keys that are missing."""
    from safetensors.torch import save_file

    state = {f"to_3d.{key}": value for key, value in make_pair().to_3d.state_dict().items()}
    save_file(state, tmp_path / "mapping.safetensors")
    with pytest.raises(WeightsError, match=r"mapping\.safetensors.*to_2d\.input\.weight"):
        load_safetensors(tmp_path / "mapping.safetensors")


def test_recipe_file_with_half_a_standardiser_is_refused(tmp_path: Path) -> None:
    """A file without all four statistics of a standardiser is refused."""
    from safetensors.torch import load_file, save_file

    path = tmp_path / "mapping.safetensors"
    save_safetensors(make_pair(standardise=True), path)
    state = load_file(path)
    del state["standardise.std_3d"]
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"standardise\.std_3d"):
        load_safetensors(path)


ARCHITECTURES: list[Architecture] = ["mlp", "mlp_encoder_decoder", "conv_encoder_decoder"]


@pytest.mark.parametrize("modality", ["cross", "intra"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_recipe_file_says_what_its_networks_are(
    architecture: Architecture, modality: Modality, tmp_path: Path
) -> None:
    """Every variant is loaded as it was saved, also if both modalities have one width; bytes are equal each time."""
    path, again = tmp_path / "mapping.safetensors", tmp_path / "again.safetensors"
    torch.manual_seed(7)
    pair = new_pair(D2, D2, architecture, modality, spread=True)
    mask = torch.zeros(1, 224, 224, dtype=torch.bool)
    mask[0, 7:9, 30:33] = True
    E_2D, E_3D = torch.randn(2, 6, D2)
    save_safetensors(pair, path)
    loaded = load_safetensors(path)
    assert (loaded.architecture, loaded.modality, loaded.hidden) == (architecture, modality, pair.hidden)
    expected = pair.predict_with_log_spreads(E_2D, E_3D, mask)
    torch.testing.assert_close(loaded.predict_with_log_spreads(E_2D, E_3D, mask), expected, rtol=0, atol=0)
    save_safetensors(loaded, again)
    assert again.read_bytes() == path.read_bytes()


def test_papers_networks_are_written_without_metadata(tmp_path: Path) -> None:
    """The paper's networks are written without metadata, so bytes and model ids stay those of earlier files."""
    from safetensors.torch import save_file

    pair, path = make_pair(), tmp_path / "mapping.safetensors"
    save_safetensors(pair, path)
    networks = {"to_3d": pair.to_3d, "to_2d": pair.to_2d}
    state = {
        f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()
    }
    save_file(state, tmp_path / "plain.safetensors")
    assert path.read_bytes() == (tmp_path / "plain.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("transformer cross", r"networks that this version of cmfm does not know: .transformer cross"),
        ("mlp intra", r"declared as intramodal, but .to_3d. predicts 10 channels of features that have 6"),
        ("mlp_encoder_decoder cross", r"keys are missing \(to_3d\.encoder\.weight"),
        ("conv_encoder_decoder cross", r"expected a mapping network \(conv_encoder_decoder\)"),
    ],
)
def test_file_with_other_networks_than_it_declares_is_refused(
    stated: str, message: str, tmp_path: Path
) -> None:
    """The tensors must be those of the networks that the metadata name."""
    from safetensors.torch import load_file, save_file

    path = tmp_path / "mapping.safetensors"
    save_safetensors(make_pair(), path)
    save_file(load_file(path), path, metadata={"mapping": stated})
    with pytest.raises(WeightsError, match=rf"mapping\.safetensors.*{message}"):
        load_safetensors(path)


def test_standardiser_centres_and_scales_each_channel() -> None:
    """Features become (E − mean) / std with the statistics of their modality."""
    standardise = Standardiser(torch.tensor([1.0, 2]), torch.tensor([2.0, 4]), torch.zeros(1), torch.ones(1))
    e2d, e3d = standardise(torch.tensor([[3.0, 10]]), torch.tensor([[7.0]]))
    assert e2d.tolist() == [[1, 2]]
    assert e3d.tolist() == [[7]]
