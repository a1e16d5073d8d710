"""A recogniser of languages of a second of training."""

from training.language.recipe import LanguageRecipe
from training.recipe import load_recipe

SMALL = ("epochs=2", "examples=560", "batch_size=56", "longest=24", "config.hidden=16", "config.width=8", "ema=0")


def tiny_recogniser(*changes: str, cell: str = "gru") -> LanguageRecipe:
    """The shipped recipe, shrunk."""
    recipe = load_recipe("language-gru", (*SMALL, f"model=language-{cell}", "gate={}", *changes))
    assert isinstance(recipe, LanguageRecipe)
    return recipe
