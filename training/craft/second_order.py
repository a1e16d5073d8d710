"""Optimisers that use the curvature of the loss over the whole training split (I2DL V.2 and V.3)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, optim
from torch.autograd import grad
from torch.optim import Optimizer

from training.errors import RecipeError

# The most parameters to solve for: their matrix in double precision takes half a gigabyte, and so does its factor.
PARAMETERS = 8_000
# The most values that the columns of the matrix computed at once hold in the widest layer.
VALUES = 1 << 22
# Marquardt's factor, the least lambda, and how often a step may fail before the point counts as a minimum: at a lambda
# of 1e5 the step is a short one down the gradient, each weight scaled by its curvature.
FACTOR, SMALLEST, TRIALS = 10.0, 1e-8, 14
# Entries of Marquardt's diagonal are at least this share of the largest: that of a dead pixel is 0, and a weight whose
# unit is not used yet would take a huge step.
LEAST = 1e-2
# The share of the predicted gain that a step must achieve: a long step with almost no gain leads away from the minimum.
FAIR = 0.25


@dataclass(frozen=True)
class Objective:
    """The function to minimise, with its graph: the ``cost`` of ``predictions`` (N, K), a scalar, plus ``penalty``.

    ``cost`` should be convex, such as the cross-entropy of logits or the squared error of probabilities; ``penalty``
    must be a sum of terms that each depend on one weight.
    """

    predictions: Tensor
    cost: Callable[[Tensor], Tensor]
    penalty: Tensor

    @property
    def value(self) -> Tensor:
        """Their sum, a scalar."""
        return self.cost(self.predictions) + self.penalty


Closure = Callable[[], Objective]


class LBFGS(optim.LBFGS):
    """Limited-memory BFGS with a strong Wolfe line search, at most ``iterations`` iterations a step (I2DL V.3)."""

    def __init__(self, weights: Iterable[Tensor], learning_rate: float, iterations: int) -> None:
        super().__init__(weights, learning_rate, iterations, line_search_fn="strong_wolfe")

    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """Take a step on the objective of ``closure``, which is called several times; return the value before it."""

        def evaluate() -> Tensor:
            self.zero_grad()
            value = closure().value
            torch.autograd.backward(value)
            return value.detach()

        return torch.as_tensor(super().step(evaluate))  # type: ignore[no-untyped-call]


class Newton(Optimizer):
    """theta <- theta - alpha (H + lambda I)^-1 gradient, H the Hessian of the objective (I2DL V.2).

    alpha is the ``learning_rate`` and lambda the ``damping``; Newton's own method has 1 and 0.
    """

    def __init__(self, weights: Iterable[Tensor], learning_rate: float = 1.0, damping: float = 0.0) -> None:
        super().__init__(weights, {"lr": learning_rate, "damping": damping})

    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """Take a step on the objective of ``closure``; return the value before it.

        Raises:
            RecipeError: the damped curvature is not positive definite, so the step might not lead downhill.
        """
        with torch.enable_grad():
            objective = closure()
            value = objective.value
            slope = _flat(grad(value, self._weights, retain_graph=True, materialize_grads=True))  # (P,)
            curvature = self._curvature(objective).double()  # (P, P)
        self._move(slope.double(), curvature, value.detach(), closure)
        return value.detach()

    @property
    def _weights(self) -> list[Tensor]:
        return list(self.param_groups[0]["params"])

    def _curvature(self, objective: Objective) -> Tensor:
        return hessian(objective.value, self._weights, objective.predictions.numel())

    def _move(self, slope: Tensor, curvature: Tensor, value: Tensor, closure: Closure) -> None:
        how = self.param_groups[0]
        curvature.diagonal().add_(how["damping"])
        step = _solve(curvature, slope)
        if step is None:
            raise RecipeError(
                f"{type(self).__name__}: the curvature is not positive everywhere; take a larger optimiser.damping, "
                "or levenberg_marquardt, which finds its own"
            )
        self._add(-how["lr"] * step)

    @torch.no_grad()
    def _add(self, step: Tensor) -> None:
        weights = self._weights
        for weight, part in zip(weights, torch.split(step, [w.numel() for w in weights]), strict=True):
            weight.add_(part.view_as(weight))


class GaussNewton(Newton):
    """Newton's step with J^T H J in place of the Hessian: J of the predictions, H of their cost (I2DL V.3).

    For a sum of squared errors it is 2 J^T J. With ``damping`` lambda this is Levenberg's method.
    """

    def _curvature(self, objective: Objective) -> Tensor:
        return gauss_newton(objective, self._weights)


class LevenbergMarquardt(GaussNewton):
    """theta <- theta - alpha (G + lambda diag G)^-1 gradient, G Gauss and Newton's matrix (I2DL V.3; Marquardt 1963).

    Entries of diag G are raised to a hundredth of the largest. A step that gains at least a quarter of what the
    gradient and G predict is taken, and lambda is divided by ten; otherwise lambda is multiplied by ten and the step
    tried again. ``damping`` is the first lambda. If no step helps, the weights stay unchanged.
    """

    def _move(self, slope: Tensor, curvature: Tensor, value: Tensor, closure: Closure) -> None:
        how: dict[str, Any] = self.param_groups[0]
        scale = curvature.diagonal().clone()
        scale.clamp_(min=LEAST * float(scale.max()))
        damping = max(how["damping"], SMALLEST)
        before = [weight.detach().clone() for weight in self._weights]
        for _ in range(TRIALS):
            step = _solve(curvature + torch.diag(damping * scale), slope)
            if step is not None:
                step *= how["lr"]
                promised = slope @ step - step @ curvature @ step / 2
                self._add(-step)
                with torch.no_grad():
                    gained = value - closure().value
                    if gained > 0 and gained >= FAIR * promised:
                        how["damping"] = damping / FACTOR
                        return
                    torch._foreach_copy_(self._weights, before)
            damping *= FACTOR


def hessian(value: Tensor, weights: Sequence[Tensor], width: int = 1) -> Tensor:
    """The second derivatives (P, P) of the scalar ``value``, which has its graph, by all P ``weights``.

    ``width`` is the number of values in the widest layer; it limits how many columns are computed at once.
    """
    slope = _flat(grad(value, weights, create_graph=True, materialize_grads=True))  # (P,)
    if not slope.requires_grad:
        return slope.new_zeros(len(slope), len(slope))
    return _matrix(lambda rows: _flat_rows(_products(slope, weights, rows)), slope, width)


def gauss_newton(objective: Objective, weights: Sequence[Tensor]) -> Tensor:
    """J^T H J (P, P) by all P ``weights``: J of the predictions, H of their cost; plus the penalty's Hessian."""
    predictions, width = objective.predictions, objective.predictions.numel()
    probe = torch.zeros_like(predictions, requires_grad=True)
    transposed = _flat(grad(predictions, weights, probe, create_graph=True, materialize_grads=True))  # J^T probe (P,)
    at = predictions.detach().requires_grad_()
    (slope,) = grad(objective.cost(at), at, create_graph=True)  # (N, K)

    def products(rows: Tensor) -> Tensor:  # (R, P) -> (R, P)
        (moved,) = _products(transposed, (probe,), rows)  # J row (R, N, K)
        (bent,) = _products(slope, (at,), moved)  # H J row
        return _flat_rows(_products(predictions, weights, bent))

    if not slope.requires_grad:
        raise RecipeError("the loss has no curvature for Gauss and Newton's step; cross_entropy, bce and l2 have")
    matrix = _matrix(products, transposed, width)
    matrix.diagonal().add_(_diagonal(objective.penalty, weights))
    return matrix


def _matrix(products: Callable[[Tensor], Tensor], like: Tensor, width: int) -> Tensor:
    """The symmetric matrix (P, P) from its ``products`` with rows (R, P); ``like`` is a vector (P,) of its type."""
    rows = torch.split(torch.eye(len(like), dtype=like.dtype, device=like.device), max(1, VALUES // width))
    matrix = torch.cat([products(part) for part in rows]).detach()
    return (matrix + matrix.T) / 2


def _products(outputs: Tensor, inputs: Sequence[Tensor], rows: Tensor) -> tuple[Tensor, ...]:
    """Each row (R, ...) of the shape of ``outputs`` times the Jacobian of ``outputs`` by ``inputs``."""
    return grad(outputs, inputs, rows, retain_graph=True, is_grads_batched=True, materialize_grads=True)


def _diagonal(penalty: Tensor, weights: Sequence[Tensor]) -> Tensor:
    if not penalty.requires_grad:
        return _flat([torch.zeros_like(weight) for weight in weights])
    slope = _flat(grad(penalty, weights, create_graph=True, materialize_grads=True))
    if not slope.requires_grad:
        return slope
    return _flat(grad(slope.sum(), weights, materialize_grads=True))


def _solve(matrix: Tensor, vector: Tensor) -> Tensor | None:
    """matrix^-1 vector, for a symmetric matrix (P, P); None if it is not positive definite."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    if int(info):
        return None
    return torch.cholesky_solve(vector[:, None], factor)[:, 0]


def _flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])


def _flat_rows(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten(1) for part in parts], dim=1)
