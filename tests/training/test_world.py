"""Several processes on one machine, as torchrun starts them, with gloo between them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.tiny import Tiny, tiny_recipe
from training.checkpoint import FILE, read_checkpoint
from training.errors import RecipeError
from training.fit import fit
from training.world import World, find_world

ROOT = Path(__file__).parents[2]
VARIABLES = {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}


def test_a_process_that_nobody_started_is_alone() -> None:
    assert find_world() == World(rank=0, size=1, local_size=1)
    assert find_world().leads


def test_torchrun_says_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    world = find_world()
    assert (world.rank, world.size, world.local_size, world.machines, world.leads) == (5, 8, 4, 2, False)


@pytest.mark.fit
def test_an_optimiser_of_the_full_batch_wants_to_be_alone(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    recipe = tiny_recipe("optimiser={name='lbfgs', learning_rate=1}", "batch_size=full")
    with pytest.raises(RecipeError, match="lbfgs trains in one process, not 8"):
        fit(recipe, tmp_path, tiny.folder)


TRAIN = """
import os, sys
from pathlib import Path
import torch
from tests.training.tiny import make_tiny, tiny_recipe
from training.data import catalogue
from training.fit import fit
from training.classification.classifier import Classifier

folder = Path(sys.argv[1])
rank = os.environ["RANK"]
tiny = make_tiny(folder / f"data-{rank}")
catalogue.SOURCES = {"mnist": tiny.source}

def keep(self):
    torch.save(self.model.state_dict(), folder / f"weights-{rank}.pt")

Classifier.on_train_end = keep
fit(tiny_recipe(*sys.argv[2:]), folder / "run", tiny.folder, progress=False, say=print)
"""


def by_two(script: str, folder: Path, *arguments: str) -> str:
    """What two processes of ``script`` print, which get the ``folder`` and the ``arguments``."""
    (folder / "train.py").write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    all_arguments = [*command, str(folder / "train.py"), str(folder), *arguments]
    done = subprocess.run(all_arguments, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.fit
@pytest.mark.slow
def test_two_processes_end_with_the_same_weights_and_about_those_of_one(tiny: Tiny, tmp_path: Path) -> None:
    changes = ("epochs=3", "early_stopping.patience=3")
    said = by_two(TRAIN, tmp_path, *changes)
    assert said.count("the first loss is") == 1  # one of them speaks
    one, other = (torch.load(tmp_path / f"weights-{rank}.pt", weights_only=True) for rank in "01")
    assert all(torch.equal(value, other[name]) for name, value in one.items())

    alone = fit(tiny_recipe(*changes), tmp_path / "alone", tiny.folder)
    both = read_checkpoint(tmp_path / "run")
    assert all(torch.equal(value, one[name]) for name, value in both.weights.items())
    for name, value in alone.weights.items():
        assert (both.weights[name] - value).norm() < 0.01 * value.norm()
    for row, wanted in zip(both.history, alone.history, strict=True):
        for metric in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
            assert row[metric] == pytest.approx(wanted[metric], abs=0.01)
    steps = [torch.load(tmp_path / run / FILE, weights_only=True)["global_step"] for run in ("run", "alone")]
    assert steps[0] == steps[1]


PAIR = """
import os, sys
from pathlib import Path
import torch
from tests.training.toy_learners import Adversaries
from tests.training.toys import toy_recipe, toys
from training.fit import fit

def keep(self):
    torch.save(self.model.state_dict(), Path(sys.argv[1]) / f"weights-{os.environ['RANK']}.pt")

Adversaries.on_train_end = keep
with toys():
    fit(toy_recipe("toy-pair", clipping={"at": 0.1}), Path(sys.argv[1]) / "run", progress=False)
"""


@pytest.mark.fit
@pytest.mark.slow
def test_two_processes_of_a_network_in_two_parts_end_with_the_same_weights(tmp_path: Path) -> None:
    by_two(PAIR, tmp_path)
    one, other = (torch.load(tmp_path / f"weights-{rank}.pt", weights_only=True) for rank in "01")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    # Two steps in each of six batches and three epochs.
    assert torch.load(tmp_path / "run" / FILE, weights_only=True)["global_step"] == 36
