"""Loads weights from a local file into the model they belong to."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

AUXILIARY = ("aux1", "aux2")
# Older files lack the number of batches behind their averages; only an average without momentum uses it.
UNCOUNTED = ".num_batches_tracked"
SHOWN = 5
# What training scripts keep the state dictionary under, beside an epoch or an optimiser's state.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
# What wrappers of a network put before all of its names: torch's DataParallel, and other frameworks.
PREFIXES = ("module.", "model.")
# Parts of names in other projects' networks, and torchvision's, which are ours.
OTHER_NAMES = {"linear": "fc", "shortcut": "downsample"}


class WeightsError(Exception):
    """A file of weights that cannot be read or does not fit the model."""


def give_weights(model: nn.Module, found: Mapping[str, Tensor], origin: str, fresh: Collection[str] = ()) -> None:
    """Load the state dictionary ``found``, read from ``origin``, into ``model``, whose names it is given (`renamed`).

    Auxiliary heads that only one of the two has are skipped. So are the submodules named ``fresh``, such as ``("fc",)``
    for a new head on a trained network: they keep their initial weights.

    Raises:
        WeightsError: it does not fit; the message names the parameters that are missing, unexpected, or of another
            shape. The model is then unchanged.
    """
    wanted = model.state_dict()
    found = renamed(found, wanted)
    left_out = {*fresh, *(head for head in AUXILIARY if not (_has(found, head) and _has(wanted, head)))}
    found, wanted = _without(found, left_out), _without(wanted, left_out)
    problems = compare(found, wanted)
    if problems:
        raise WeightsError(f"{origin} does not fit {type(model).__name__}: {'; '.join(problems)}")
    model.load_state_dict(found, strict=False)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dictionary in the file ``path``, on the CPU, without a prefix that all of its names share.

    It may be the content of the file, or one entry of it (`WRAPPERS`), as in training scripts' checkpoints.

    Raises:
        WeightsError: there is no such file, or it holds anything else.
    """
    content = load_plain(path)
    if isinstance(content, Mapping):
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path}: is not a state dictionary, that is, tensors by the names of parameters")
    return _without_prefix({str(name): tensor for name, tensor in content.items()})


def renamed(found: Mapping[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """``found`` under the names in ``wanted``, where it has only another project's name for one (`OTHER_NAMES`)."""
    names = set(wanted)

    def ours(name: str) -> str:
        other = ".".join(OTHER_NAMES.get(part, part) for part in name.split("."))
        return other if name not in names and other in names and other not in found else name

    return {ours(name): tensor for name, tensor in found.items()}


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    while prefix := next((prefix for prefix in PREFIXES if state and all(n.startswith(prefix) for n in state)), ""):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def load_plain(path: Path) -> Any:
    """What `torch.save` wrote to ``path``, on the CPU: tensors, numbers, strings and containers; no code in it is run.

    Raises:
        WeightsError: it cannot be read, or holds anything else. Torch's own message is left out, because it tells how
            to run the code in the file.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: is not a file of weights ({error.strerror or 'it is truncated'})") from error
    except Exception as error:  # a broken file makes torch's reader raise anything: KeyError, IndexError, struct.error
        raise WeightsError(
            f"{path}: is not a file of weights (it must hold tensors written by torch.save, and nothing else)"
        ) from error


def compare(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """The differences that prevent loading ``found`` in place of ``wanted``, one line for each kind."""
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
