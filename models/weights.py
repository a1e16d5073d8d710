"""Published weights from a local file, into the model they belong to."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

AUXILIARY = ("aux1", "aux2")
# Older files don't count the batches that their averages come from; nothing but an average without momentum asks.
UNCOUNTED = ".num_batches_tracked"
SHOWN = 5


class WeightsError(Exception):
    """A file of weights that cannot be read or does not fit the model."""


def load_weights(model: nn.Module, path: Path, fresh: Collection[str] = ()) -> None:
    """Give ``model`` the parameters and averages in the file ``path``, a state dictionary; nothing in it is run.

    Raises:
        WeightsError: the file cannot be read, holds no state dictionary, or, as `give_weights`, it does not fit.
    """
    give_weights(model, read_weights(path), str(path), fresh)


def give_weights(model: nn.Module, found: Mapping[str, Tensor], origin: str, fresh: Collection[str] = ()) -> None:
    """Give ``model`` the parameters and averages in the state dictionary ``found``, which came from ``origin``.

    Auxiliary heads that only one of the two has are passed over. So are the submodules named ``fresh``, as
    ``("fc",)`` for a new head over an old network: they keep their start.

    Raises:
        WeightsError: it does not fit: the message names what is missing, what is there besides, and what has another
            shape. The model is then as it was.
    """
    wanted = model.state_dict()
    left_out = {*fresh, *(head for head in AUXILIARY if not (_has(found, head) and _has(wanted, head)))}
    found, wanted = _without(found, left_out), _without(wanted, left_out)
    problems = compare(found, wanted)
    if problems:
        raise WeightsError(f"{origin} does not fit {type(model).__name__}: {'; '.join(problems)}")
    model.load_state_dict(found, strict=False)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dictionary in the file ``path``, on the CPU.

    Raises:
        WeightsError: there is no such file, or it holds something else.
    """
    content = load_plain(path)
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path}: no state dictionary; wanted tensors by the names of parameters")
    return {str(name): tensor for name, tensor in content.items()}


def load_plain(path: Path) -> Any:
    """What `torch.save` wrote to ``path``, on the CPU: tensors, numbers, strings and containers; nothing in it is run.

    Raises:
        WeightsError: it cannot be read, or holds anything else. What torch's reader says of such a file is left out:
            it tells how to run what is in it.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: no file of weights ({error.strerror or 'it is cut short'})") from error
    except Exception as error:  # a broken file makes torch's reader raise anything: KeyError, IndexError, struct.error
        raise WeightsError(
            f"{path}: no file of weights (wanted tensors as torch.save writes them, nothing else)"
        ) from error


def compare(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """What keeps ``found`` from taking the place of ``wanted``, a line for each kind of difference."""
    missing = [name for name in wanted if name not in found and not name.endswith(UNCOUNTED)]
    unexpected = [name for name in found if name not in wanted]
    shapes = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    return [f"{len(names)} {kind}: {_some(names)}" for kind, names in kinds.items() if names]


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _has(state: Mapping[str, Tensor], module: str) -> bool:
    return any(name.startswith(f"{module}.") for name in state)


def _without(state: Mapping[str, Tensor], modules: Collection[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith(tuple(f"{m}." for m in modules))}
