"""Soft attention by hand (Xu et al. 2015)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.captioning.attention import AttentionDecoder, doubly_stochastic
from models.captioning.decoder import Tensors
from tests.models.captioning.decoders import FEATURES, decoder, features, words


def attending() -> AttentionDecoder:
    found = decoder("attention")
    assert isinstance(found, AttentionDecoder)
    return found.eval()


def one_step(model: AttentionDecoder, a: torch.Tensor) -> tuple[torch.Tensor, Tensors, torch.Tensor]:
    """The paper's equations for one row ``a`` (L, D), place by place."""
    h = torch.tanh(model.first_h.weight @ a.mean(0) + model.first_h.bias)
    c = torch.tanh(model.first_c.weight @ a.mean(0) + model.first_c.bias)
    energies = [
        model.energy.weight[0] @ torch.tanh(model.key.weight @ place + model.key.bias + model.query.weight @ h)
        for place in a
    ]
    alpha = torch.stack(energies).exp() / torch.stack(energies).exp().sum()
    beta = torch.sigmoid(model.gate.weight[0] @ h + model.gate.bias[0])
    z = beta * torch.stack([share * place for share, place in zip(alpha, a, strict=True)]).sum(0)
    y = model.words(torch.tensor(4))
    theta_x = torch.cat([model.cell.theta_x.weight, model.context.weight], 1)
    gates = theta_x @ torch.cat([y, z]) + model.cell.theta_x.bias + model.cell.theta_h.weight @ h
    i, f, g, o = gates.chunk(4)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    deep = torch.tanh(y + model.output_h.weight @ h + model.output_h.bias + model.output_z.weight @ z)
    assert model.words.scores is not None
    return model.words.scores.weight @ deep + model.words.bias, {"h": h, "c": c}, alpha


def test_a_step_is_the_papers() -> None:
    model, a = attending(), features(2)
    memory, state = model.start(a)
    found = model.step(torch.tensor([4, 4]), state, memory)
    for row in range(2):
        logits, after, alpha = one_step(model, a[row])
        torch.testing.assert_close(found.logits[row], logits)
        assert found.attention is not None
        torch.testing.assert_close(found.attention[row], alpha)
        for name, values in after.items():
            torch.testing.assert_close(found.state[name][row], values)


def test_a_closed_gate_hides_the_image_from_the_word() -> None:
    model, a = attending(), features()
    memory, state = model.start(a)
    torch.nn.init.constant_(model.gate.bias, -50)
    other = {**memory, "features": memory["features"].flip(0)}
    token = words(3, 1)[:, 0]
    torch.testing.assert_close(model.step(token, state, memory).logits, model.step(token, state, other).logits)


def test_places_that_look_alike_get_equal_shares() -> None:
    a = torch.rand(2, 1, FEATURES, dtype=torch.float64).expand(-1, 4, -1)
    attention = attending()(words(2), a).attention
    assert attention is not None
    torch.testing.assert_close(attention, torch.full_like(attention, 0.25))


def test_the_penalty_counts_what_each_place_lacks_or_has_too_much_of_a_whole_look() -> None:
    attention = torch.tensor([[[0.5, 0.5], [1.0, 0.0], [0.2, 0.8]], [[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]])
    real = torch.tensor([[True, True, False], [True, True, True]])
    # The first row saw 1.5 and 0.5 in its two words, the second 2 and 1 in its three.
    assert doubly_stochastic(attention, real).item() == pytest.approx(((0.25 + 0.25) + (1.0 + 0.0)) / 2)


@given(order=st.permutations(range(4)), padding=st.integers(0, 2))
def test_a_look_at_every_place_costs_nothing(order: list[int], padding: int) -> None:
    attention = torch.cat([torch.eye(4)[order], torch.rand(padding, 4)])[None]
    real = torch.arange(4 + padding)[None] < 4
    assert doubly_stochastic(attention, real).item() == 0
    twice = torch.cat([attention, attention[:, :1]], 1)
    assert doubly_stochastic(twice, torch.cat([real, torch.tensor([[True]])], 1)).item() == pytest.approx(1)
