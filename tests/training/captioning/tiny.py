"""A captioner of a second of training, on a few scenes of a few digits."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.training.tiny import Tiny
from training.captioning.recipe import CaptionerRecipe
from training.data import catalogue
from training.recipe import load_recipe

COUNTS = {"training": 48, "validation": 24, "test": 24}
SMALL = (
    "epochs=2",
    "batch_size=16",
    "precision=32-true",
    "ema=0",
    "supervised_attention=0",
    "config.features=16",
    "config.backbone_config={widths=[[4],[8],[8]]}",
)
WIDTHS = {
    "rnn": "{width=8, hidden=16}",
    "gru": "{width=8, hidden=16}",
    "lstm": "{width=8, hidden=16}",
    "attention": "{width=8, hidden=16, attention=8}",
    "transformer": "{width=8, layers=1, heads=2, hidden=16}",
}


@contextmanager
def tiny_scenes(tiny: Tiny) -> Iterator[None]:
    """Inside, scenes are few, and of the tiny set's digits."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(catalogue, "SOURCES", {"mnist": tiny.source})
        monkeypatch.setattr(catalogue, "COUNTS", COUNTS)
        yield


def tiny_captioner(*changes: str, decoder: str = "attention") -> CaptionerRecipe:
    """A shipped recipe, shrunk."""
    small = (*SMALL, f"config.decoder_config={WIDTHS[decoder]}", "gate={}")
    recipe = load_recipe(f"scenes-{decoder}", (*small, *changes))
    assert isinstance(recipe, CaptionerRecipe)
    # What it may start from is a run that a test does not have.
    return recipe.model_copy(update={"transfer": None}) if not any("transfer" in each for each in changes) else recipe
