"""Parameter norm penalties (DL 10.10; I2DL VII.1, regularisation loss)."""

from torch import Tensor, nn, tensor

from training.craft.table import NonNegative, Table


class Penalty(Table):
    """A penalty on large weights, added to the loss: ``l1`` sum |w| + ``l2`` / 2 sum w^2.

    An optimiser's ``weight_decay`` also keeps weights small; for plain gradient descent it equals ``l2``.
    """

    l1: NonNegative = 0.0
    l2: NonNegative = 0.0


def penalty(model: nn.Module, how: Penalty) -> Tensor:
    """The penalty on the weights of ``model``, a scalar; 0 if ``how`` has none."""
    terms: list[Tensor] = []
    if how.l1:
        terms += [how.l1 * weight.abs().sum() for weight in penalised(model)]
    if how.l2:
        terms += [how.l2 / 2 * weight.square().sum() for weight in penalised(model)]
    return sum(terms, start=tensor(0.0, device=_device(model)))


def penalised(model: nn.Module) -> list[nn.Parameter]:
    """The weights that the penalty applies to: the matrices that are trained.

    A bias only shifts one value, so a penalty on biases and other vectors would only cause under-fitting.
    """
    return [weight for weight in model.parameters() if weight.ndim > 1 and weight.requires_grad]


def _device(model: nn.Module) -> str:
    return str(next((weight.device for weight in model.parameters()), "cpu"))
