import numpy as np
import pytest
import torch

from training.data import CaptionSplit
from training.data.caption_loading import CaptionedImages, token_rows, training_captions, validation_captions
from training.data.vocabulary import END, PAD, START, Vocabulary, build_vocabulary
from training.errors import DataError

CAPTIONS = (("a dog", "the dog runs"), ("a cat",), ("two cats sleep", "cats", "two"))


@pytest.fixture
def split() -> CaptionSplit:
    images = np.arange(3, dtype=np.uint8)[:, None, None] + np.zeros((3, 4, 4), np.uint8)
    return CaptionSplit(images, CAPTIONS)


@pytest.fixture
def vocabulary() -> Vocabulary:
    return build_vocabulary(CAPTIONS)


def test_every_caption_comes_with_its_image(split: CaptionSplit, vocabulary: Vocabulary) -> None:
    ((images, places, tokens, looks),) = validation_captions(split, vocabulary, 3, 10)
    assert (images.shape, images.dtype) == ((3, 4, 4), torch.uint8)
    assert images[places][:, 0, 0].tolist() == [0, 0, 1, 2, 2, 2]
    assert (tokens.shape, tokens.dtype) == ((6, 5), torch.int64)
    assert looks.shape == (6, 0, 0)
    assert (tokens[:, 0] == START).all()
    assert [vocabulary.decode(row) for row in tokens.tolist()] == [text for texts in CAPTIONS for text in texts]
    assert (tokens != PAD).sum(1).tolist() == [4, 5, 4, 5, 3, 3]
    assert all(row[row != PAD][-1] == END for row in tokens)


def test_batches_are_as_wide_whatever_is_in_them(split: CaptionSplit, vocabulary: Vocabulary) -> None:
    batches = validation_captions(split, vocabulary, 7, 2)
    assert [(len(images), *tokens.shape) for images, _, tokens, _ in batches] == [(2, 3, 9), (1, 3, 9)]


def test_a_pass_of_training_has_each_image_once_in_an_order_of_its_own(
    split: CaptionSplit, vocabulary: Vocabulary
) -> None:
    def one_pass(seed: int) -> list[tuple[int, str]]:
        return [
            (int(image[0, 0]), vocabulary.decode(row.tolist()))
            for images, places, tokens, _ in training_captions(split, vocabulary, 3, 2, seed)
            for image, row in zip(images[places], tokens, strict=True)
        ]

    pairs = [(image, caption) for image, captions in enumerate(CAPTIONS) for caption in captions]
    assert sorted(one_pass(0)) == sorted(pairs)
    assert one_pass(0) == one_pass(0)
    assert one_pass(0) != one_pass(1)


@pytest.mark.parametrize("captions", [((),), (("a", " "),)])
def test_an_image_without_a_caption_or_a_caption_without_a_word_is_refused(
    vocabulary: Vocabulary, captions: tuple[tuple[str, ...], ...]
) -> None:
    with pytest.raises(DataError, match="each image needs one, of at least one word"):
        CaptionedImages(CaptionSplit(np.zeros((1, 4, 4), np.uint8), captions), vocabulary, 3)


def test_rows_shorter_than_their_tokens_are_refused() -> None:
    assert token_rows([[1, 2], [1, 4, 2]], 3).tolist() == [[1, 2, 0], [1, 4, 2]]
    with pytest.raises(DataError, match="a sequence has 3 tokens; at most 2 are allowed"):
        token_rows([[1, 4, 2]], 2)
