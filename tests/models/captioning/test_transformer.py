"""The Transformer decoder beside torch's attention and the paper's formulae."""

import math
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from models.captioning.transformer import TransformerDecoder, attend, sinusoids
from tests.models.captioning.decoders import LENGTH, decoder, features, words


def test_attention_is_torchs() -> None:
    q, k, v = (torch.randn(2, steps, 6, dtype=torch.float64) for steps in (3, 4, 4))
    allowed = torch.tensor([[True, False, False, False], [True, True, False, False], [True, True, True, True]])
    found, weights = attend(q, k, v, 2, allowed)
    heads = (x.reshape(2, -1, 2, 3).transpose(1, 2) for x in (q, k, v))
    wanted = scaled_dot_product_attention(next(heads), next(heads), next(heads), attn_mask=allowed)
    torch.testing.assert_close(found, wanted.transpose(1, 2).reshape(2, 3, 6))
    assert weights.shape == (2, 2, 3, 4)
    assert not weights[:, :, ~allowed].any()
    torch.testing.assert_close(attend(q, k, v, 1, None)[0], scaled_dot_product_attention(q, k, v))


def test_positions_are_the_papers_sinusoids() -> None:
    found = sinusoids(5, 6)
    for position in range(5):
        for pair in range(3):
            angle = position / 10_000 ** (2 * pair / 6)
            assert found[position, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert found[position, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


@pytest.mark.parametrize("option", ["transformer", "transformer, sinusoidal"])
def test_the_same_word_at_another_place_means_something_else(option: str) -> None:
    model = decoder(option).eval()
    logits = model(torch.full((1, LENGTH), 3), features(1)).logits
    for t in range(1, LENGTH):
        assert not torch.allclose(logits[0, t], logits[0, t - 1], rtol=1e-6)


def test_the_cache_holds_each_words_keys_in_its_place_and_nothing_after() -> None:
    model, tokens = decoder("transformer").eval(), words(2)
    memory, state = model.start(features(2))
    kept = state
    for t in range(LENGTH):
        assert state["position"].tolist() == [t, t]
        after = model.step(tokens[:, t], state, memory).state
        for name in ("keys1", "values1", "keys2", "values2"):
            assert torch.equal(after[name][:, :t], state[name][:, :t])
            assert after[name][:, t].all()
            assert not after[name][:, t + 1 :].any()
        state = after
    assert not any(tensor.any() for tensor in kept.values())  # a step changes no state of the caller's


def test_rows_at_different_words_share_a_step() -> None:
    model, a, tokens = decoder("transformer").eval(), features(2), words(2)
    memory, state = model.start(a)
    late = model.step(tokens[:, 0], state, memory).state
    mixed = {name: torch.stack([state[name][0], late[name][1]]) for name in state}
    logits = model.step(torch.stack([tokens[0, 0], tokens[1, 1]]), mixed, memory).logits
    wanted = model(tokens, a).logits
    torch.testing.assert_close(logits, torch.stack([wanted[0, 0], wanted[1, 1]]))


def test_attention_is_the_last_blocks_mean_over_heads() -> None:
    model = decoder("transformer")
    assert isinstance(model, TransformerDecoder)
    seen: list[Any] = []
    model.blocks[1].register_forward_hook(lambda block, inputs, output: seen.append((block, inputs)))
    attention = model(words(), features()).attention
    (block, (x, own, allowed, image)) = seen[0]
    context, _ = attend(block.query(block.norm1(x)), own[0], own[1], block.heads, allowed)
    query = block.image_query(block.norm2(x + block.output(context)))
    torch.testing.assert_close(attention, attend(query, image[0], image[1], block.heads, None)[1].mean(1))


def test_more_words_than_places_are_refused() -> None:
    with pytest.raises(ValueError, match="there are 8 words; the decoder allows at most 7"):
        decoder("transformer")(words(1, 8), features(1))


def test_unknown_positions_and_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(KeyError, match="no positions 'rotary'; there are learnt, sinusoidal"):
        decoder("transformer", positions="rotary")
    with pytest.raises(ValueError, match="width is 8; it must be a multiple of heads, 3"):
        decoder("transformer", heads=3)
