import math

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.optim.lr_scheduler import ReduceLROnPlateau

from training.craft.schedule import FALLING, Schedule, rate

EPOCHS = 20
NAMES = [*FALLING, "plateau"]


def rates(epochs: list[float], **how: object) -> list[float]:
    schedule = Schedule.model_validate(how)
    return [rate(schedule, epoch, EPOCHS) for epoch in epochs]


def test_constant_stays() -> None:
    assert rates([0, 3.5, 20], name="constant") == [1, 1, 1]


def test_fractional_is_one_over_one_plus_the_decay_times_the_epoch() -> None:
    assert rates([0, 1, 2, 10], name="fractional", decay=0.5) == [1, 1 / 1.5, 1 / 2, 1 / 6]


def test_step_takes_off_a_share_every_so_many_epochs() -> None:
    # I2DL VI.1: alpha <- alpha - t alpha, with t = 0.3 every 4 epochs.
    alpha, wanted = 1.0, []
    for epoch in range(12):
        if epoch and epoch % 4 == 0:
            alpha -= 0.3 * alpha
        wanted.append(alpha)
    found = rates([float(epoch) for epoch in range(12)], name="step", factor=0.7, every=4)
    assert found == pytest.approx(wanted)
    assert rates([3.99, 4], name="step", factor=0.7, every=4) == pytest.approx([1, 0.7])


def test_exponential_is_a_power_of_the_factor() -> None:
    assert rates([0, 1, 2.5], name="exponential", factor=0.9) == pytest.approx([1, 0.9, 0.9**2.5])


def test_linear_falls_evenly_to_nothing() -> None:
    assert rates([0, 5, 20], name="linear") == pytest.approx([1, 0.75, 0])


def test_linear_may_reach_its_least_earlier_and_stay_there() -> None:
    # DL 6.4: linear until iteration tau, and constant from then on.
    found = rates([0, 5, 9, 10, 20], name="linear", fall=10, least=0.01)
    assert found == pytest.approx([1, 0.5, 0.1, 0.01, 0.01])


def test_cosine_falls_along_half_a_wave() -> None:
    assert rates([0, 5, 10, 20], name="cosine") == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, 0])


def test_a_table_says_the_rate_from_each_of_its_epochs_on() -> None:
    found = rates([0, 4.9, 5, 14, 15, 19], name="table", table=[[0, 1], [5, 2], [15, 0.1]])
    assert found == [1, 1, 2, 2, 0.1, 0.1]


def test_a_table_counts_the_epochs_of_the_run_and_not_those_after_the_warm_up() -> None:
    found = rates([1, 4.9, 5], name="table", table=[[0, 1], [5, 0.1]], warmup=2)
    assert found == pytest.approx([0.5, 1, 0.1])


@pytest.mark.parametrize("name", NAMES)
def test_a_warm_up_rises_evenly_from_almost_nothing_to_where_the_schedule_begins(name: str) -> None:
    found = rates([0, 1, 2, 3, 4], name=name, warmup=4)
    assert found == pytest.approx([1e-3, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize("name", NAMES)
@given(warmup=st.floats(0, 5), epoch=st.floats(0, 15), after=st.floats(0, 5), least=st.floats(0, 1))
def test_after_the_warm_up_no_rate_rises_or_leaves_its_bounds(
    name: str, warmup: float, epoch: float, after: float, least: float
) -> None:
    early, late = rates([warmup + epoch, warmup + epoch + after], name=name, warmup=warmup, least=least)
    assert least <= late <= early <= 1


losses = st.lists(st.floats(0.01, 10) | st.sampled_from([1.0, 0.99995, 0.9, 0.5]), max_size=30)


@given(losses=losses, patience=st.integers(0, 4), factor=st.floats(0.1, 0.9))
@example(losses=[1.0, 0.99995], patience=0, factor=0.5)
def test_a_plateau_is_torchs_own_and_a_function_of_the_losses_alone(
    losses: list[float], patience: int, factor: float
) -> None:
    schedule = Schedule(name="plateau", patience=patience, factor=factor)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    torchs = ReduceLROnPlateau(optimizer, factor=factor, patience=patience, threshold=1e-4, eps=0)
    for count, loss in enumerate(losses, 1):
        torchs.step(loss)
        assert rate(schedule, count, EPOCHS, losses[:count]) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_a_plateau_falls_only_when_patience_is_at_an_end() -> None:
    schedule = Schedule(name="plateau", patience=2, factor=0.1)
    losses = [1.0, 0.9, 0.95, 0.9, 0.92]
    found = [rate(schedule, epoch, EPOCHS, losses[:epoch]) for epoch in range(6)]
    assert found == pytest.approx([1, 1, 1, 1, 1, 0.1])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"name": "table"}, "needs the pairs of a `table`"),
        ({"name": "cosine", "table": [[0, 1]]}, "no other schedule takes them"),
        ({"name": "table", "table": [[1, 1]]}, "begin at 0"),
        ({"name": "table", "table": [[0, 1], [5, 1], [5, 2]]}, "rise"),
        ({"name": "table", "table": [[0, -1]]}, "table"),
        ({"name": "step", "factor": 1.5}, "factor"),
        ({"name": "linear", "least": 2}, "least"),
        ({"name": "square"}, "name"),
    ],
)
def test_a_schedule_that_means_nothing_is_refused(how: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Schedule.model_validate(how)


@pytest.mark.parametrize("shift", [10.0, -10.0])
def test_a_plateau_is_the_same_for_losses_on_either_side_of_0(shift: float) -> None:
    schedule = Schedule(name="plateau", patience=0, factor=0.5)
    losses = [shift + fall for fall in (0.0, -1.0, -1.0005, -2.0, -1.9, -2.1)]
    found = [rate(schedule, 1, EPOCHS, losses[:count]) for count in range(len(losses) + 1)]
    # A fall by less than a ten-thousandth is none, and neither is a rise.
    assert found == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]
