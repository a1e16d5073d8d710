"""Transfer learning: a trained network under a new head (I2DL IX.7 and XI.1)."""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from models.weights import AUXILIARY
from training.craft.table import NonEmpty, Table


class Transfer(Table):
    """Start from ``weights``, a file of a state dictionary or the folder of a run or of a package, under new heads.

    The rest of the network is trained as usual (``full``), at ``factor`` times the learning rate (``slow``), or not at
    all (``freeze``). ``fresh`` names the modules that get new weights: by default the layers that score the classes;
    none if empty.
    """

    weights: NonEmpty
    mode: Literal["full", "slow", "freeze"] = "full"
    factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    fresh: tuple[str, ...] | None = None

    def heads(self, model: nn.Module) -> tuple[str, ...]:
        """The modules of ``model`` that get new weights."""
        return find_heads(model) if self.fresh is None else self.fresh


def find_heads(model: nn.Module) -> tuple[str, ...]:
    """The names of the layers of ``model`` that score the classes: its last linear one, and each auxiliary head's."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    by_branch = {name.partition(".")[0] if name.startswith(AUXILIARY) else "": name for name in linear}
    return tuple(by_branch.values())


def freeze(model: nn.Module, heads: Collection[str]) -> None:
    """Freeze every weight outside ``heads``, and the running averages of the normalisation layers there."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(_inside(name, heads))
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.training = False


def slow_down(optimizer: Optimizer, model: nn.Module, heads: Collection[str], factor: float) -> None:
    """Multiply the learning rate of every weight of ``model`` outside ``heads`` by ``factor``."""
    fast = {id(parameter) for name, parameter in model.named_parameters() if _inside(name, heads)}
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        for chosen, share in ((True, 1.0), (False, factor)):
            part = [parameter for parameter in group["params"] if (id(parameter) in fast) == chosen]
            groups += [{**group, "params": part, "lr": group["lr"] * share}] if part else []
    optimizer.param_groups[:] = groups


def _inside(name: str, modules: Collection[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)
