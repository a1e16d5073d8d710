"""Opens the task of a recipe."""

from pathlib import Path

from training.captioning.recipe import CaptionerRecipe
from training.captioning.task import Captioning
from training.classification.recipe import ClassifierRecipe
from training.classification.task import Classification
from training.craft.recipe import Recipe
from training.language.recipe import LanguageRecipe
from training.language.task import LanguageRecognition
from training.task import Task


def open_task(recipe: Recipe, data: Path | None = None) -> Task:
    """The task of ``recipe``; published data sets are in the folder ``data``.

    Raises:
        RecipeError: there is no such model.
        DataError: there is no such data set, or it cannot be obtained.
    """
    match recipe:
        case CaptionerRecipe():
            return Captioning(recipe, data)
        case ClassifierRecipe():
            return Classification(recipe, data)
        case LanguageRecipe():
            return LanguageRecognition(recipe)
    raise TypeError(f"{type(recipe).__name__} belongs to no task")
