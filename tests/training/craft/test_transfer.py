from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn

from models.classification.rows import VARIANTS, build
from tests.needs import needs
from tests.training.tiny import Tiny, tiny_recipe
from training.checkpoint import Checkpoint, read_checkpoint
from training.classification.recipe import ClassifierRecipe
from training.craft.optimiser import Optimiser, build_optimizer
from training.craft.transfer import find_heads, freeze, slow_down
from training.errors import RecipeError, RunError
from training.fit import fit
from training.start import fresh_model


@pytest.mark.parametrize(
    ("model", "heads"),
    [
        ("softmax", ("scores",)),
        ("mlp", ("scores",)),
        ("lenet5", ("output",)),
        ("alexnet-28", ("classifier.6",)),
        ("resnet20", ("fc",)),
        ("xception-28", ("fc",)),
    ],
)
def test_the_head_is_the_layer_that_scores_the_classes(model: str, heads: tuple[str, ...]) -> None:
    assert find_heads(build(model)) == heads


def test_auxiliary_heads_have_such_a_layer_each() -> None:
    model = build("googlenet-28", {"auxiliary": True})
    assert sorted(find_heads(model)) == ["aux1.fc2", "aux2.fc2", "fc"]


@pytest.mark.parametrize("name", [name for name, row in VARIANTS.items() if row.macs < 5e7 and row.parameters])
def test_every_family_has_a_head_that_gives_the_classes(name: str) -> None:
    model = build(name)
    (head,) = find_heads(model)
    layer = model.get_submodule(head)
    assert isinstance(layer, nn.Linear)
    shape = VARIANTS[name].input_shape
    assert layer.out_features == (1 if name == "logistic" else model.eval()(torch.zeros(1, *shape)).shape[1])


def test_a_slow_network_moves_by_a_tenth_of_what_its_head_does() -> None:
    model = build("mlp")
    optimizer = build_optimizer(model, Optimiser(name="sgd", learning_rate=0.5, momentum=0, weight_decay=0))
    slow_down(optimizer, model, ("scores",), 0.1)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    for name, weight in model.named_parameters():
        moved = (before[name] - weight).detach()
        assert moved.allclose(torch.full_like(moved, 0.5 if name.startswith("scores") else 0.05))


def test_slowing_down_keeps_what_a_group_says_and_every_weight_once() -> None:
    model = build("mlp")
    optimizer = build_optimizer(model, Optimiser(name="sgd", learning_rate=0.5, weight_decay=0.3))
    slow_down(optimizer, model, ("scores",), 0.1)
    rows = {(group["lr"], group["weight_decay"]): len(group["params"]) for group in optimizer.param_groups}
    assert rows == {(0.5, 0.3): 1, (0.5, 0.0): 1, (0.05, 0.3): 2, (0.05, 0.0): 2}


def test_freezing_stops_the_averages_of_batch_norm_but_not_dropout() -> None:
    model = build("resnet20-28", {"spatial_dropout": 0.1}).train()
    freeze(model, ("fc",))
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert trained == ["fc.weight", "fc.bias"]
    for module in model.modules():
        assert module.training != isinstance(module, nn.BatchNorm2d | nn.Conv2d)


@pytest.fixture(scope="session")
@needs("fit")
def source_run(tiny_data: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a small ResNet that tells five digits apart; read it only."""
    run = tmp_path_factory.mktemp("runs") / "source"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("training.data.catalogue.SOURCES", {"mnist": tiny_data.source})
        fit(resnet('classes=["0", "1", "2", "3", "4"]', "epochs=2"), run, tiny_data.folder)
    return run


def resnet(*changes: str) -> ClassifierRecipe:
    narrow = ("model=resnet20-28", "config.widths=[4, 8, 16]", "config.depths=[1, 1, 1]", "validation=20")
    return tiny_recipe(*narrow, "optimiser.weight_decay=0", *changes)


def moved(done: Checkpoint, start: dict[str, Tensor]) -> set[str]:
    return {name for name, value in start.items() if not torch.equal(done.weights[name], value)}


@pytest.mark.fit
@pytest.mark.parametrize("mode", ["freeze", "slow", "full"])
def test_a_run_starts_from_another_under_a_new_head(tiny: Tiny, tmp_path: Path, source_run: Path, mode: str) -> None:
    recipe = resnet(f"transfer.weights={source_run}", f"transfer.mode={mode}", "epochs=1")
    done = fit(recipe, tmp_path, tiny.folder)
    old = read_checkpoint(source_run).weights
    assert done.weights["fc.weight"].shape == (10, 16)
    body = {name: value for name, value in old.items() if not name.startswith("fc.")}
    trained = {name for name, value in body.items() if value.is_floating_point()}
    assert moved(done, body) & trained == (set() if mode == "freeze" else trained)
    fresh = fresh_model(recipe).state_dict()
    assert moved(done, {name: fresh[name] for name in ("fc.weight", "fc.bias")}) == {"fc.weight", "fc.bias"}


@pytest.mark.fit
def test_a_file_of_weights_is_as_good_as_a_run(tiny: Tiny, tmp_path: Path, source_run: Path) -> None:
    torch.save(read_checkpoint(source_run).weights, tmp_path / "weights.pth")
    runs = (source_run, tmp_path / "weights.pth")
    one, other = (
        fit(resnet(f"transfer.weights={start}", "epochs=1"), tmp_path / str(number), tiny.folder)
        for number, start in enumerate(runs)
    )
    assert moved(one, other.weights) == set()


@pytest.mark.fit
def test_a_run_that_was_killed_goes_on_without_the_weights_it_began_with(
    tiny: Tiny, tmp_path: Path, source_run: Path
) -> None:
    weights = tmp_path / "weights.pth"
    torch.save(read_checkpoint(source_run).weights, weights)
    recipe = resnet(f"transfer.weights={weights}", "transfer.mode=freeze", "epochs=2")
    unbroken = fit(recipe, tmp_path / "unbroken", tiny.folder)
    checkpoint = tmp_path / "resumed"
    with pytest.raises(InterruptedError):
        fit(recipe, checkpoint, tiny.folder, callbacks=[Interruption()])
    weights.unlink()
    assert moved(fit(recipe, checkpoint, tiny.folder), unbroken.weights) == set()


class Interruption(pl.Callback):
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            raise InterruptedError


@pytest.mark.fit
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("transfer.weights=nowhere.pth",), r"transfer\.weights: nowhere\.pth: is not a file of weights"),
        (("transfer.weights={run}", "config.widths=[4, 8, 8]"), "does not fit ResNet: .* of another shape: layer3"),
        (
            ("transfer.weights={run}", "transfer.fresh=[]"),
            r"of another shape: fc\.weight \(5, 16\) instead of \(10, 16\)",
        ),
        (("transfer.weights={run}", 'transfer.fresh=["head"]'), "transfer.fresh: resnet20-28 has no module 'head'"),
        (
            ("transfer.weights={run}", "transfer.fresh=[]", "transfer.mode=freeze", 'classes=["0","1","2","3","4"]'),
            "epochs is 3; resnet20-28 has no weights to train, so it must be 0",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tiny: Tiny, tmp_path: Path, source_run: Path, changes: tuple[str, ...], message: str
) -> None:
    recipe = resnet(*(change.format(run=source_run) for change in changes))
    with pytest.raises(RecipeError, match=message):
        fit(recipe, tmp_path / "run", tiny.folder)
    assert not (tmp_path / "run").exists()


@pytest.mark.fit
def test_a_folder_that_is_no_run_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no last\.ckpt"):
        fit(resnet(f"transfer.weights={tmp_path}"), tmp_path / "run", tiny.folder)
