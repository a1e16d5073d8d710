"""Published weights from a file: torchvision's files, as far as their names and shapes go."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.classification.rows import build
from models.weights import WeightsError, give_weights, read_weights, renamed

GOOGLENET: dict[str, Any] = {"scale": 1 / 16, "classes": 10}


def saved(state: Any, path: Path) -> Path:
    torch.save(state, path)
    return path


def model(name: str = "resnet20-28", seed: int = 0, **config: Any) -> nn.Module:
    torch.manual_seed(seed)
    return build(name, config)


def load_weights(model: nn.Module, path: Path, fresh: tuple[str, ...] = ()) -> None:
    give_weights(model, read_weights(path), str(path), fresh)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    published, ours = model(seed=1), model(seed=2)
    load_weights(ours, saved(published.state_dict(), tmp_path / "weights.pth"))
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, published.state_dict()[name]), name


def test_a_file_of_the_old_format_that_counts_no_batches_is_loaded(tmp_path: Path) -> None:
    published, ours, path = model(seed=1), model(seed=2), tmp_path / "weights.pth"
    state = {k: v for k, v in published.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    load_weights(ours, path)
    assert torch.equal(ours.get_parameter("conv1.weight"), published.get_parameter("conv1.weight"))


def test_every_difference_is_named_and_the_model_is_as_it_was(tmp_path: Path) -> None:
    ours = model()
    state: dict[str, Tensor] = dict(ours.state_dict())
    del state["layer2.0.conv1.weight"]
    state["layer4.0.conv1.weight"] = torch.zeros(1)
    state["fc.weight"] = torch.zeros(1000, 64)
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with pytest.raises(WeightsError) as error:
        load_weights(ours, saved(state, tmp_path / "weights.pth"))
    for named in (
        "weights.pth does not fit ResNet",
        "1 missing: layer2.0.conv1.weight",
        "1 unexpected: layer4.0.conv1.weight",
        "1 of another shape: fc.weight (1000, 64) instead of (10, 64)",
    ):
        assert named in str(error.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())


def test_a_long_list_is_cut_short(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"\d+ missing: conv1.weight, (\S+, ){4}\.\.\.") as error:
        load_weights(model(), saved({}, tmp_path / "weights.pth"))
    assert len(str(error.value)) < 400


def test_a_new_head_keeps_its_start(tmp_path: Path) -> None:
    published, ours = model(seed=1, classes=1000), model(seed=2)
    head = ours.get_parameter("fc.weight").clone()
    load_weights(ours, saved(published.state_dict(), tmp_path / "weights.pth"), fresh=("fc",))
    assert torch.equal(ours.get_parameter("fc.weight"), head)
    assert torch.equal(ours.get_parameter("conv1.weight"), published.get_parameter("conv1.weight"))


@pytest.mark.parametrize(("theirs", "ours"), [(True, False), (False, True), (True, True)])
def test_auxiliary_heads_that_only_one_has_are_passed_over(theirs: bool, ours: bool, tmp_path: Path) -> None:
    published = model("googlenet", 1, auxiliary=theirs, **GOOGLENET)
    loaded = model("googlenet", 2, auxiliary=ours, **GOOGLENET)
    load_weights(loaded, saved(published.state_dict(), tmp_path / "weights.pth"))
    for name, tensor in loaded.state_dict().items():
        if theirs or not name.startswith("aux"):
            assert torch.equal(tensor, published.state_dict()[name]), name


def test_a_head_of_which_a_part_is_missing_is_named(tmp_path: Path) -> None:
    ours = model("googlenet", auxiliary=True, **GOOGLENET)
    state = {name: tensor for name, tensor in ours.state_dict().items() if name != "aux2.fc2.bias"}
    with pytest.raises(WeightsError, match=r"1 missing: aux2\.fc2\.bias"):
        load_weights(ours, saved(state, tmp_path / "weights.pth"))


class Evil:
    """Would run on unpickling."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run",)


@pytest.mark.parametrize("content", ["evil", "noise", "cut", "empty", "absent", "folder"])
def test_what_is_no_file_of_weights_is_refused_by_name(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pth"
    match content:
        case "evil":
            path.write_bytes(pickle.dumps({"conv1.weight": Evil()}, protocol=2))
        case "noise":
            path.write_bytes(b"not weights at all")
        case "cut":
            torch.save(model().state_dict(), path)
            path.write_bytes(path.read_bytes()[:5000])
        case "empty":
            path.write_bytes(b"")
        case "folder":
            path.mkdir()
    with pytest.raises(WeightsError, match=r"weights\.pth: is not a file of weights"):
        read_weights(path)
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [pickle.dumps(Evil(), protocol=2), b"not weights at all", b"PK\x03\x04broken", b""])
def test_no_error_tells_how_to_run_what_is_in_a_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(WeightsError) as error:
        read_weights(tmp_path / "weights.pth")
    for advice in ("weights_only", "trust", "safe_globals", "load"):
        assert advice not in str(error.value)


def test_a_file_broken_anywhere_is_refused_or_read_and_nothing_else(tmp_path: Path) -> None:
    path = saved({"weight": torch.zeros(2)}, tmp_path / "weights.pth")
    torch.save({"weight": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        try:
            read_weights(path)
        except WeightsError:
            refused += 1
    assert refused > len(whole) / 2


@pytest.mark.parametrize(
    "content", [[torch.zeros(1)], {"epoch": 3, "weights": {"conv1.weight": torch.zeros(1)}}, torch.zeros(1),
                {"state_dict": {"conv1.weight": 1}}],
)  # fmt: skip
def test_what_is_no_state_dictionary_is_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is not a state dictionary"):
        read_weights(saved(content, tmp_path / "weights.pth"))


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
def test_a_training_scripts_checkpoint_is_its_state_dictionary(key: str, tmp_path: Path) -> None:
    published = model(seed=1).state_dict()
    wrapped = {key: {f"module.{name}": tensor for name, tensor in published.items()}, "epoch": 3, "acc": 0.9}
    found = read_weights(saved(wrapped, tmp_path / "weights.pth"))
    assert found.keys() == published.keys()


def test_a_prefix_that_not_all_names_have_stays(tmp_path: Path) -> None:
    state = {"module.conv1.weight": torch.zeros(1), "fc.weight": torch.zeros(1)}
    assert read_weights(saved(state, tmp_path / "weights.pth")).keys() == state.keys()


def test_other_names_are_taken_for_ours_only_where_the_model_has_ours() -> None:
    state = {"linear.weight": torch.zeros(1), "layer1.0.shortcut.0.weight": torch.ones(1), "own.weight": torch.ones(1)}
    assert renamed(state, ["fc.weight", "layer1.0.downsample.0.weight"]).keys() == {
        "fc.weight", "layer1.0.downsample.0.weight", "own.weight",
    }  # fmt: skip
    assert renamed(state, ["linear.weight", "fc.weight"]).keys() == state.keys()
    both = {"linear.weight": torch.zeros(1), "fc.weight": torch.ones(1)}
    assert renamed(both, ["fc.weight"]) == both
