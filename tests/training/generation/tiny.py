"""VAEs of a second of training, on the tiny set of digits."""

from training.generation.recipe import GenerationRecipe
from training.recipe import load_recipe

SMALL = (
    "epochs=6",
    "batch_size=20",
    "validation=40",
    "ema=0",
    "schedule={}",
    "gate={}",
    "config.latent=3",
    "config.hidden=[16]",
    "optimiser.learning_rate=0.01",
)


def tiny_vae(*changes: str) -> GenerationRecipe:
    """The shipped recipe of MNIST, shrunk."""
    recipe = load_recipe("mnist-vae", (*SMALL, *changes))
    assert isinstance(recipe, GenerationRecipe)
    return recipe
