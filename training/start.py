"""The start of a run: a recipe with its data set opened, then a network and its examples."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from models.registry import ROWS, build, find
from service.nearest import did_you_mean
from training.craft.recipe import Recipe
from training.errors import RecipeError
from training.learner import Batch, Learner
from training.world import World

Batches = DataLoader[Any]
ALONE = World()


@dataclass(frozen=True)
class Start(ABC):
    """The start of a run: a network with its initial weights, and the examples to train and validate it on."""

    learner: Learner

    @abstractmethod
    def training(self, world: World = ALONE) -> Batches:
        """This process's share of the shuffled batches to learn from."""

    @abstractmethod
    def validation(self, world: World = ALONE) -> Batches:
        """This process's share of the batches to validate on."""

    @abstractmethod
    def some(self, count: int) -> Batch:
        """At most ``count`` training examples as one batch, as varied as the task can easily make it."""

    def ordered(self) -> Batches:
        """The training split in batches like those of validation, in its own order, to solve a network from.

        Raises:
            RecipeError: no network of this task is solved.
        """
        recipe = self.learner.settings
        raise RecipeError(f"recipe {recipe.name!r}: no network of the task {recipe.task!r} is trained without steps")


class Opened(ABC):
    """A recipe with its data set opened; ``title`` names both for people."""

    title: str

    @abstractmethod
    def start(self, *, resume: bool = False) -> Start:
        """The run's start; with ``resume``, the network gets its weights later, from the checkpoint.

        Raises:
            RecipeError: no such model or value, weights that don't fit, or a network that doesn't fit the data.
            RunError: the folder of the weights holds no checkpoint.
            DataError: the data cannot be obtained, or are too few.
        """


def model_title(recipe: Recipe) -> str:
    """The recipe's model by its name for people.

    Raises:
        RecipeError: there is no such model.
    """
    try:
        return find(recipe.model).title
    except KeyError as error:
        raise RecipeError(f"recipe {recipe.name!r}: {error.args[0]}{did_you_mean(recipe.model, ROWS)}") from error


def fresh_model(recipe: Recipe, config: dict[str, Any] | None = None) -> nn.Module:
    """The recipe's model with the initial weights of its seed; the global generator is left as it was.

    ``config`` replaces the recipe's.

    Raises:
        RecipeError: no such model, or no such value of it.
    """
    model_title(recipe)
    config = recipe.config if config is None else config
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        try:
            return build(recipe.model, config)
        except (KeyError, IndexError, ValueError, TypeError, RuntimeError) as error:
            message = str(error.args[0] if error.args else error).partition("\n")[0]
            near = _nearest_value(recipe.model, config)
            raise RecipeError(f"recipe {recipe.name!r}, config: {message}{near}") from error


def _nearest_value(model: str, config: Mapping[str, Any]) -> str:
    """A hint: the model's option nearest to the first key of ``config`` that it does not have."""
    known = signature(find(model).family).parameters
    return next((did_you_mean(key, known) for key in config if key not in known), "")
