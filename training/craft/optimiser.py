"""Optimisers (I2DL V; DL 6 and 7)."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

from pydantic import model_validator
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from training.craft.second_order import LBFGS, PARAMETERS, GaussNewton, LevenbergMarquardt, Newton
from training.craft.table import Count, Fraction, NonNegative, Positive, Table
from training.errors import RecipeError

Name = Literal["sgd", "adagrad", "rmsprop", "adam", "adamw", "lbfgs", "newton", "gauss_newton", "levenberg_marquardt"]

# The keys that each optimiser uses besides its name and the learning rate.
KEYS: Mapping[Name, tuple[str, ...]] = {
    "sgd": ("momentum", "nesterov", "weight_decay"),
    "adagrad": ("epsilon", "weight_decay"),
    "rmsprop": ("decay", "epsilon", "weight_decay"),
    "adam": ("beta1", "beta2", "epsilon", "weight_decay"),
    "adamw": ("beta1", "beta2", "epsilon", "weight_decay"),
    "lbfgs": ("iterations",),
    "newton": ("damping",),
    "gauss_newton": ("damping",),
    "levenberg_marquardt": ("damping",),
}


class Optimiser(Table):
    """How the weights are updated. Setting a key that the optimiser ``name`` does not use is an error.

    ``sgd`` has ``momentum``, Nesterov's unless ``nesterov`` is false; 0 is plain gradient descent. ``decay`` is the
    decay rate of RMSProp's average of squared gradients; ``beta1`` and ``beta2`` are those of Adam's averages of
    gradients and of their squares; ``epsilon`` is added to a root before dividing by it. ``weight_decay`` is added to
    the gradient as an L2 penalty; ``adamw`` instead subtracts it from the weights directly (arXiv:1711.05101).

    The last four use the whole training split for each step. ``lbfgs`` makes at most ``iterations`` iterations a step;
    the others solve for the step (see `training.craft.second_order`), with ``damping`` on the diagonal, and take the
    share ``learning_rate`` of it.
    """

    name: Name
    learning_rate: Positive
    momentum: Fraction = 0.9
    nesterov: bool = True
    decay: Fraction = 0.99
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    epsilon: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    damping: NonNegative = 1e-3
    iterations: Count = 20

    @property
    def full_batch(self) -> bool:
        """Whether it needs the whole training split at each step (I2DL V.3)."""
        return self.name in FULL_BATCH

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        own = ("name", "learning_rate", *KEYS[self.name])
        changed = self.model_dump(exclude_defaults=True)
        if strange := [key for key in changed if key not in own]:
            raise ValueError(f"{self.name} has no {strange[0]}; it has {', '.join(KEYS[self.name])}")
        return self


def build_optimizer(model: nn.Module, how: Optimiser) -> Optimizer:
    """The optimiser for ``model``'s parameters; biases and other vectors are not decayed.

    Full-batch optimisers take a closure of their own kind in each step: see `training.craft.second_order`.

    Raises:
        RecipeError: the model has too many weights for the optimiser to solve for.
    """
    if how.name in FULL_BATCH:
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        count = sum(weight.numel() for weight in trained)
        if how.name != "lbfgs" and count > PARAMETERS:
            raise RecipeError(f"{how.name} trains at most {PARAMETERS:,} weights; the model has {count:,}")
        return FULL_BATCH[how.name](trained, how)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": how.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return FIRST_ORDER[how.name](groups, how)


Build = Callable[[Any, Optimiser], Optimizer]

FIRST_ORDER: Mapping[Name, Build] = {
    "sgd": lambda groups, how: SGD(
        groups, how.learning_rate, momentum=how.momentum, nesterov=how.nesterov and how.momentum > 0
    ),
    "adagrad": lambda groups, how: Adagrad(groups, how.learning_rate, eps=how.epsilon),
    "rmsprop": lambda groups, how: RMSprop(groups, how.learning_rate, alpha=how.decay, eps=how.epsilon),
    "adam": lambda groups, how: Adam(groups, how.learning_rate, (how.beta1, how.beta2), how.epsilon),
    "adamw": lambda groups, how: AdamW(groups, how.learning_rate, (how.beta1, how.beta2), how.epsilon),
}

FULL_BATCH: Mapping[Name, Build] = {
    "lbfgs": lambda weights, how: LBFGS(weights, how.learning_rate, how.iterations),
    "newton": lambda weights, how: Newton(weights, how.learning_rate, how.damping),
    "gauss_newton": lambda weights, how: GaussNewton(weights, how.learning_rate, how.damping),
    "levenberg_marquardt": lambda weights, how: LevenbergMarquardt(weights, how.learning_rate, how.damping),
}
