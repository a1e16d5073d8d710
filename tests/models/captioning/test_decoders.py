"""What holds of every decoder."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from models.captioning.network import DECODERS
from tests.models.captioning.decoders import FEATURES, LENGTH, OPTIONS, PLACES, VOCABULARY, decoder, features, words

STEP = 1e-6
every = pytest.mark.parametrize("option", OPTIONS)


@every
def test_teacher_forcing_is_the_steps_one_after_the_other(option: str) -> None:
    model, a, tokens = decoder(option).eval(), features(), words()
    together = model(tokens, a)
    assert together.logits.shape == (3, LENGTH, VOCABULARY)
    memory, state = model.start(a)
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()}
    for t in range(LENGTH):
        logits, state, attention = model.step(tokens[:, t], state, memory)
        torch.testing.assert_close(logits, together.logits[:, t])
        assert {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()} == shapes
        assert (attention is None) == (together.attention is None) == (not model.attends)
        if attention is not None and together.attention is not None:
            torch.testing.assert_close(attention, together.attention[:, t])


@every
def test_no_word_is_seen_before_it_is_said(option: str) -> None:
    model, a, tokens = decoder(option).eval(), features(), words()
    changed = tokens.clone()
    changed[:, 4] = (changed[:, 4] + 1) % VOCABULARY
    before, after = model(tokens, a).logits, model(changed, a).logits
    assert torch.equal(before[:, :4], after[:, :4])
    for t in range(4, LENGTH):
        assert not torch.allclose(before[:, t], after[:, t], rtol=1e-6), t


@every
def test_the_image_matters_to_every_word(option: str) -> None:
    model, tokens = decoder(option).eval(), words()
    one, other = model(tokens, features()).logits, model(tokens, features().flip(0)).logits
    for t in range(LENGTH):
        assert not torch.allclose(one[0, t], other[0, t], rtol=1e-6), t


@every
def test_a_row_does_not_depend_on_its_batch(option: str) -> None:
    model, a, tokens = decoder(option).eval(), features(), words()
    torch.testing.assert_close(model(tokens, a).logits[1:2], model(tokens[1:2], a[1:2]).logits)


@every
def test_attention_is_a_share_of_each_place(option: str) -> None:
    model = decoder(option)
    attention = model(words(), features()).attention
    if not model.attends:
        assert attention is None
        return
    assert attention is not None
    assert attention.shape == (3, LENGTH, PLACES)
    assert (attention >= 0).all()
    torch.testing.assert_close(attention.sum(2), torch.ones(3, LENGTH, dtype=torch.float64))


@every
def test_a_state_that_is_filled_is_one_number_everywhere_and_the_others_are_the_images(option: str) -> None:
    model = decoder(option)
    memory, state = model.start(features())
    assert not set(memory) & set(state)
    assert set(model.fills) <= set(state)
    for name, tensor in state.items():
        assert len(tensor) == 3
        assert (name in model.fills) == bool((tensor == tensor.flatten()[0]).all())
        assert name not in model.fills or (tensor == model.fills[name]).all()


@every
def test_every_parameters_gradient_is_the_difference_quotient(option: str) -> None:
    model, a, tokens = decoder(option), features(2), words(2)

    def loss() -> torch.Tensor:
        return cross_entropy(model(tokens, a).logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())

    torch.autograd.backward(loss())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
        way = torch.randn_like(parameter)
        with torch.no_grad():
            parameter.add_(way, alpha=STEP)
            after = loss().item()
            parameter.add_(way, alpha=-2 * STEP)
            before = loss().item()
            parameter.add_(way, alpha=STEP)
        slope = (parameter.grad * way).sum().item()
        assert (after - before) / (2 * STEP) == pytest.approx(slope, rel=1e-4, abs=1e-7), name


@pytest.mark.fit
@every
def test_a_decoder_learns_sentences_by_heart(option: str) -> None:
    model, a, tokens = decoder(option, hidden=32), features(), words()
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    for _ in range(150):
        logits = model(tokens[:, :-1], a).logits
        if (logits.argmax(2) == tokens[:, 1:]).all():
            return
        optimizer.zero_grad()
        torch.autograd.backward(cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()))
        optimizer.step()
    pytest.fail("not after 150 steps")


@every
def test_dropout_acts_in_training_only(option: str) -> None:
    model, a, tokens = decoder(option, dropout=0.5), features(), words()
    assert not torch.equal(model(tokens, a).logits, model(tokens, a).logits)
    model.eval()
    assert torch.equal(model(tokens, a).logits, model(tokens, a).logits)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "attention", "transformer"])
def test_at_first_no_word_is_much_likelier_than_another(name: str) -> None:
    torch.manual_seed(0)
    tokens = words()
    logits = DECODERS[name](FEATURES, VOCABULARY, LENGTH)(tokens, features().float()).logits
    loss = cross_entropy(logits.flatten(0, 1), tokens.flatten()).item()
    assert loss == pytest.approx(math.log(VOCABULARY), abs=0.5)


@pytest.mark.parametrize("option", [option for option in OPTIONS if "tied" in option])
def test_tied_words_are_scored_by_the_vectors_they_are_looked_up_as(option: str) -> None:
    model = decoder(option)
    assert not any(name.startswith("words.scores") for name, _ in model.named_parameters())
    other = words(1, 1)
    logits = model(other, features(1)).logits
    unused = next(token for token in range(VOCABULARY) if token != other.item())
    with torch.no_grad():
        model.get_parameter("words.embedding.weight")[unused] += 1
    changed = (model(other, features(1)).logits != logits).flatten().nonzero().flatten().tolist()
    assert changed == [unused]
