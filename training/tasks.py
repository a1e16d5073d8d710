"""The table of all training tasks: what trains, exports, evaluates and parses recipes reads it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.captioning.task import Captioning
from training.classification.task import Classification
from training.craft.recipe import Recipe
from training.generation.task import Generation
from training.language.task import LanguageRecognition
from training.segmentation.task import Segmentation
from training.task import Task

if TYPE_CHECKING:
    from training.start import Opened

TASKS: Mapping[str, Task[Any]] = {
    task.name: task
    for task in (
        Classification(),
        Captioning(),
        LanguageRecognition(),
        Segmentation(),
        Generation(),
    )
}


def open_recipe(recipe: Recipe, data: Path | None = None) -> "Opened":
    """``recipe`` with its data set opened; published data sets are in the folder ``data``.

    Raises:
        RecipeError: there is no such model.
        DataError: there is no such data set, or it cannot be obtained.
    """
    return TASKS[recipe.task].open(recipe, data)
