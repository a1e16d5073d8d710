from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev
from torch.nn.functional import cross_entropy

from models.classification.rows import build
from models.layers.activation import ACTIVATIONS
from training.craft.loss import Loss, cost, predict
from training.craft.penalty import Penalty, penalty
from training.craft.second_order import LBFGS, GaussNewton, LevenbergMarquardt, Newton, Objective, gauss_newton, hessian
from training.errors import RecipeError

SQUARE = Loss(name="l2")
TRUTH = torch.tensor([2.5, 1.3, 0.5], dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bowl(size: int = 6) -> tuple[Tensor, Tensor]:
    """A positive definite matrix and a vector."""
    root = torch.randn(size, size, generator=seeded(), dtype=torch.float64)
    return root @ root.T + torch.eye(size, dtype=torch.float64), torch.randn(size, generator=seeded(1)).double()


def quadratic(weights: Tensor) -> tuple[Callable[[], Objective], Tensor]:
    """theta A theta / 2 - b theta, and where it is lowest."""
    matrix, vector = bowl(len(weights))
    nothing = torch.tensor(0.0)
    objective = lambda: Objective(weights[None], lambda p: (p[0] @ matrix @ p[0]) / 2 - vector @ p[0], nothing)  # noqa: E731
    return objective, torch.linalg.solve(matrix, vector)


def start(size: int = 6) -> Tensor:
    return torch.full((size,), 3.0, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("kind", [Newton, GaussNewton])
def test_one_step_reaches_the_minimum_of_a_quadratic(kind: type[Newton]) -> None:
    weights = start()
    objective, lowest = quadratic(weights)
    before = objective().value.item()
    assert float(kind([weights]).step(objective)) == before
    torch.testing.assert_close(weights.detach(), lowest, rtol=1e-9, atol=1e-9)


def test_the_learning_rate_is_the_share_of_the_step_that_is_taken() -> None:
    weights = start()
    objective, lowest = quadratic(weights)
    Newton([weights], learning_rate=0.25).step(objective)
    torch.testing.assert_close(weights.detach(), 3 + 0.25 * (lowest - 3), rtol=1e-9, atol=1e-9)


def test_damping_is_added_to_the_diagonal() -> None:
    weights = start()
    objective, _ = quadratic(weights)
    matrix, vector = bowl()
    slope = matrix @ weights.detach() - vector
    Newton([weights], damping=2.0).step(objective)
    wanted = 3 - torch.linalg.solve(matrix + 2 * torch.eye(6), slope)
    torch.testing.assert_close(weights.detach(), wanted, rtol=1e-9, atol=1e-9)


def test_the_rate_and_the_damping_come_back_with_the_state() -> None:
    weights = start()
    saved = LevenbergMarquardt([weights], 0.5, 7.0).state_dict()
    fresh = LevenbergMarquardt([weights])
    fresh.load_state_dict(saved)
    assert (fresh.param_groups[0]["lr"], fresh.param_groups[0]["damping"]) == (0.5, 7.0)


@pytest.mark.parametrize("kind", [Newton, GaussNewton])
def test_a_saddle_is_an_error_that_says_what_helps(kind: type[Newton]) -> None:
    weights = torch.tensor([1.0, 1.0], dtype=torch.float64, requires_grad=True)
    saddle = lambda: Objective(weights[None], lambda p: (p[0, 0] ** 2 - p[0, 1] ** 2) / 2, torch.tensor(0.0))  # noqa: E731
    with pytest.raises(RecipeError, match=rf"{kind.__name__}: the curvature is not positive .* optimiser\.damping"):
        kind([weights]).step(saddle)
    assert weights.tolist() == [1, 1]


def digits_like(model: nn.Module, rows: int = 12, classes: int = 3) -> tuple[Tensor, Tensor]:
    size = next(model.parameters()).shape[1]
    return torch.randn(rows, size, generator=seeded()).double(), torch.arange(rows) % classes


def small(activation: str = "tanh") -> nn.Module:
    torch.manual_seed(0)
    return build("mlp", {"inputs": 5, "hidden": (4,), "classes": 3, "activation": activation}).double()


def objective_of(model: nn.Module, how: Loss, price: Penalty, rows: int = 12) -> Callable[[], Objective]:
    images, labels = digits_like(model, rows)

    def objective() -> Objective:
        return Objective(predict(how, model(images)), lambda p: cost(how, p, labels), penalty(model, price))

    return objective


def by_vector(model: nn.Module) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The model's weights as one vector, and its answer as a function of that."""
    images, _ = digits_like(model)
    names, values = zip(*model.named_parameters(), strict=True)

    def answer(vector: Tensor) -> Tensor:
        parts = torch.split(vector, [value.numel() for value in values])
        shaped = {name: part.view_as(value) for name, part, value in zip(names, parts, values, strict=True)}
        result: Tensor = functional_call(model, shaped, (images,))
        return result

    return torch.cat([value.detach().flatten() for value in values]), answer


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "swish"])
def test_the_hessian_is_autograds(activation: str) -> None:
    model = small(activation)
    vector, answer = by_vector(model)
    _, labels = digits_like(model)
    wanted = jacrev(jacrev(lambda v: cross_entropy(answer(v), labels)))(vector)
    found = hessian(objective_of(model, Loss(), Penalty())().value, list(model.parameters()))
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def jacobian(model: nn.Module, how: Loss) -> Tensor:
    """Of all predictions by all weights: (N K, P)."""
    vector, answer = by_vector(model)
    found: Tensor = jacrev(lambda v: predict(how, answer(v)).flatten())(vector)
    return found


def test_gauss_and_newtons_matrix_of_squared_errors_is_twice_jacobian_by_jacobian() -> None:
    model = small()
    found = gauss_newton(objective_of(model, SQUARE, Penalty())(), list(model.parameters()))
    j = jacobian(model, SQUARE)
    torch.testing.assert_close(found, 2 * j.T @ j / 12, rtol=1e-9, atol=1e-12)


def test_gauss_and_newtons_matrix_of_the_cross_entropy_has_the_softmaxs_curvature_inside() -> None:
    model = small()
    found = gauss_newton(objective_of(model, Loss(), Penalty())(), list(model.parameters()))
    vector, answer = by_vector(model)
    p = torch.softmax(answer(vector), dim=1)  # (N, K)
    j = jacobian(model, Loss()).view(12, 3, -1)  # (N, K, P)
    curvatures = torch.diag_embed(p) - p[:, :, None] * p[:, None]  # (N, K, K)
    wanted = torch.einsum("nkp,nkl,nlq->pq", j, curvatures, j) / 12
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_a_penalty_bends_both_matrices_by_its_own_curvature() -> None:
    model = small()
    weights = list(model.parameters())
    matrices: tuple[Callable[[Objective], Tensor], ...] = (
        lambda objective: gauss_newton(objective, weights),
        lambda objective: hessian(objective.value, weights),
    )
    for matrix in matrices:
        priced, free = (matrix(objective_of(model, SQUARE, price)()) for price in (Penalty(l2=0.7), Penalty()))
        wanted = torch.cat([torch.full((w.numel(),), 0.7 * (w.ndim > 1), dtype=torch.float64) for w in weights])
        torch.testing.assert_close(priced - free, torch.diag(wanted), rtol=1e-9, atol=1e-12)


def test_for_a_linear_model_gauss_and_newtons_matrix_is_the_hessian() -> None:
    model = build("softmax", {"inputs": 5, "classes": 3}).double()
    objective = objective_of(model, Loss(), Penalty(l1=0.1, l2=0.2))()
    weights = list(model.parameters())
    torch.testing.assert_close(gauss_newton(objective, weights), hessian(objective.value, weights))


@pytest.mark.parametrize("name", ["l1", "hinge"])
def test_a_loss_without_curvature_is_refused(name: str) -> None:
    model = small()
    objective = objective_of(model, Loss.model_validate({"name": name}), Penalty())
    with pytest.raises(RecipeError, match=r"cross_entropy, bce and l2|not positive"):
        GaussNewton(list(model.parameters())).step(objective)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", [GaussNewton, LevenbergMarquardt])
def test_every_activation_has_the_products_that_a_step_needs(kind: type[Newton], activation: str) -> None:
    model = small(activation)
    objective = objective_of(model, Loss(), Penalty(l2=0.01))
    before = objective().value.item()
    kind(list(model.parameters()), damping=0.5).step(objective)
    assert objective().value.item() < before


def decay(theta: Tensor, times: Tensor) -> Tensor:
    return theta[0] * torch.exp(-theta[1] * times) + theta[2]


def curve_fit(theta: Tensor) -> Callable[[], Objective]:
    """The squared errors of an exponential decay, measured exactly: a non-linear least-squares problem."""
    times = torch.linspace(0, 4, 30, dtype=torch.float64)
    measured = decay(TRUTH, times)
    return lambda: Objective(
        (decay(theta, times) - measured)[:, None], lambda r: r.square().sum(), torch.zeros((), dtype=torch.float64)
    )


def test_levenberg_and_marquardt_find_a_non_linear_least_squares_solution_from_afar() -> None:
    theta = torch.tensor([10.0, 0.05, -3.0], dtype=torch.float64, requires_grad=True)
    objective, optimizer = curve_fit(theta), LevenbergMarquardt([theta], damping=1.0)
    values = [float(optimizer.step(objective)) for _ in range(60)]
    torch.testing.assert_close(theta.detach(), TRUTH, rtol=1e-6, atol=1e-6)
    assert all(late <= early for early, late in pairwise(values))


def test_a_step_of_levenberg_and_marquardt_is_the_lectures() -> None:
    theta = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64, requires_grad=True)
    times = torch.linspace(0, 4, 30, dtype=torch.float64)
    j = jacrev(lambda t: decay(t, times))(theta.detach())  # (30, 3)
    error = decay(theta.detach(), times) - decay(TRUTH, times)
    matrix = 2 * j.T @ j
    wanted = theta.detach() - torch.linalg.solve(matrix + 0.1 * torch.diag(matrix.diagonal()), 2 * j.T @ error)
    optimizer = LevenbergMarquardt([theta], damping=0.1)
    optimizer.step(curve_fit(theta))
    torch.testing.assert_close(theta.detach(), wanted, rtol=1e-9, atol=1e-12)
    assert optimizer.param_groups[0]["damping"] == pytest.approx(0.01)


def marquardt(theta: Tensor, damping: float, steps: int) -> tuple[Tensor, int]:
    """Marquardt's method on `curve_fit` by its own Jacobian, from ``theta``; and how many steps were refused."""
    times = torch.linspace(0, 4, 30, dtype=torch.float64)
    errors: Callable[[Tensor], Tensor] = lambda t: decay(t, times) - decay(TRUTH, times)  # noqa: E731
    refused = 0
    for _ in range(steps):
        j, r = jacrev(errors)(theta), errors(theta)
        matrix, slope = j.T @ j, j.T @ r  # of half the sum of squares
        scale = matrix.diagonal().clamp(min=0.01 * float(matrix.diagonal().max()))
        while True:
            step = torch.linalg.solve(matrix + damping * torch.diag(scale), slope)
            gained = (r.square().sum() - errors(theta - step).square().sum()) / 2
            if gained >= (slope @ step - step @ matrix @ step / 2) / 4:
                break
            damping, refused = damping * 10, refused + 1
        theta, damping = theta - step, damping / 10
    return theta, refused


def test_the_path_of_levenberg_and_marquardt_is_that_of_the_method_by_hand() -> None:
    start = torch.tensor([10.0, 0.05, -3.0], dtype=torch.float64)
    theta = start.clone().requires_grad_()
    optimizer = LevenbergMarquardt([theta], damping=1e-3)
    for steps in range(1, 9):
        optimizer.step(curve_fit(theta))
        wanted, refused = marquardt(start, 1e-3, steps)
        torch.testing.assert_close(theta.detach(), wanted, rtol=1e-8, atol=1e-8)
    assert refused > 0


def test_a_step_that_goes_uphill_is_taken_back_and_shortened() -> None:
    # log cosh: Newton's own step from 3 overshoots by far.
    weights = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    objective = lambda: Objective(weights[None], lambda p: p.cosh().log().sum(), torch.tensor(0.0))  # noqa: E731
    optimizer = LevenbergMarquardt([weights], damping=1e-6)
    values = [float(optimizer.step(objective)) for _ in range(25)]
    assert all(late < early or early < 1e-12 for early, late in pairwise(values))
    assert weights.item() == pytest.approx(0, abs=1e-6)
    plain = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    Newton([plain]).step(lambda: Objective(plain[None], lambda p: p.cosh().log().sum(), torch.tensor(0.0)))
    assert plain.item() < -50


def test_a_weight_that_nothing_listens_to_yet_does_not_jump() -> None:
    # Two layers that start small: the curvature by the first is the square of the second.
    first, second = (torch.full((1,), v, dtype=torch.float64, requires_grad=True) for v in (0.5, 1e-4))
    inputs = torch.linspace(-2, 2, 20, dtype=torch.float64)[:, None]

    def objective() -> Objective:
        outputs = second * torch.tanh(first * inputs)
        return Objective(outputs, lambda p: (p - torch.tanh(inputs)).square().sum(), torch.tensor(0.0))

    optimizer = LevenbergMarquardt([first, second], damping=1.0)
    optimizer.step(objective)
    assert 0.4 < first.item() < 1.5
    for _ in range(30):
        optimizer.step(objective)
    assert (first.item(), second.item()) == pytest.approx((1, 1), abs=1e-4)


def test_a_long_step_that_gains_next_to_nothing_is_not_taken() -> None:
    # sqrt(1 + w^2): Newton's own step leads from w to -w^3, from 0.99 to all but its mirror image.
    weights = torch.tensor([0.99], dtype=torch.float64, requires_grad=True)
    objective = lambda: Objective(weights[None], lambda p: (1 + p.square()).sqrt().sum(), torch.tensor(0.0))  # noqa: E731
    LevenbergMarquardt([weights], damping=1e-6).step(objective)
    assert abs(weights.item()) < 0.8


def test_at_the_minimum_nothing_moves() -> None:
    theta = TRUTH.clone().requires_grad_()
    LevenbergMarquardt([theta]).step(curve_fit(theta))
    assert theta.tolist() == [2.5, 1.3, 0.5]


def test_a_pixel_that_is_always_black_does_not_stop_levenberg_and_marquardt() -> None:
    model = build("softmax", {"inputs": 5, "classes": 3}).double()
    images, labels = digits_like(model)
    images[:, 2] = 0

    def objective() -> Objective:
        return Objective(model(images), lambda p: cost(Loss(), p, labels), torch.tensor(0.0))

    before, column = objective().value, model.get_parameter("scores.weight")[:, 2].clone()
    LevenbergMarquardt(list(model.parameters())).step(objective)
    assert objective().value < before
    assert torch.equal(model.get_parameter("scores.weight")[:, 2], column)


def test_lbfgs_reaches_the_minimum_of_a_quadratic_in_a_step_of_some_looks() -> None:
    weights = start()
    objective, lowest = quadratic(weights)
    before = objective().value.item()
    assert float(LBFGS([weights], 1.0, 50).step(objective)) == before
    torch.testing.assert_close(weights.detach(), lowest, rtol=1e-4, atol=1e-4)


def test_lbfgs_looks_no_oftener_than_it_may() -> None:
    looks = 0
    model = small()
    objective = objective_of(model, Loss(), Penalty(l2=0.01))

    def counted() -> Objective:
        nonlocal looks
        looks += 1
        return objective()

    LBFGS(list(model.parameters()), 1.0, 4).step(counted)
    assert 2 <= looks <= 6


@pytest.mark.parametrize(
    "make",
    [
        lambda weights: LBFGS(weights, 1.0, 3),
        lambda weights: Newton(weights, 1.0, 5.0),
        lambda weights: GaussNewton(weights, 1.0, 0.1),
        lambda weights: LevenbergMarquardt(weights, 1.0, 0.1),
    ],
    ids=["lbfgs", "newton", "gauss_newton", "levenberg_marquardt"],
)
def test_a_run_that_goes_on_from_its_state_is_the_unbroken_one(
    make: Callable[[Sequence[Tensor]], LBFGS | Newton],
) -> None:
    def train(stops: tuple[int, ...]) -> list[float]:
        model = small()
        optimizer = make(list(model.parameters()))
        for step in range(6):
            if step in stops:
                weights, state = model.state_dict(), optimizer.state_dict()
                model = small()
                model.load_state_dict(weights)
                optimizer = make(list(model.parameters()))
                optimizer.load_state_dict(state)
            optimizer.step(objective_of(model, Loss(), Penalty(l2=0.01)))
        return torch.cat([weight.detach().flatten() for weight in model.parameters()]).tolist()

    assert train(()) == train((2, 5))
