"""Metrics of captions: against people's captions, and whether the attention was on what a word names."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt
from torchmetrics.functional.text import bleu_score, rouge_score

from training.captioning.cider import LONGEST, Cider
from training.data.scene_grammar import SIDE, named_digits
from training.data.scenes import Scene
from training.errors import EvaluationError
from training.intervals import Interval, bootstrap, wilson

ROUGE = "rougeL"


def score(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """The metrics of ``captions``, each with its ``references``; all are words separated by one space.

    These are ``bleu_1`` to ``bleu_4`` of the corpus without smoothing (Papineni et al. 2002), ``rouge_l``, the mean F1
    of the longest common subsequence with the nearest reference (Lin 2004), ``cider_d``, the mean CIDEr-D, from 0 to
    10, and ``exact_match``, the share of captions that equal one of their references. All others are from 0 to 1.

    Raises:
        EvaluationError: there are no captions, another number of lists of references, or an empty list.
    """
    if not captions or len(captions) != len(references) or not all(references):
        empty = sum(not texts for texts in references)
        raise EvaluationError(
            f"there are {len(captions)} captions and {len(references)} lists of references, {empty} of them empty;"
            " each caption needs a list of one or more"
        )
    cider = Cider(references)
    metrics: dict[str, float] = {
        **{f"bleu_{n}": bleu(captions, references, n) for n in range(1, LONGEST + 1)},
        "rouge_l": _rouge(captions, references),
        "cider_d": fmean(map(cider.score, captions, references)),
        "exact_match": fmean(caption in texts for caption, texts in zip(captions, references, strict=True)),
    }
    return {name: round(value, 6) for name, value in metrics.items()}


def intervals(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Interval]:
    """The 95 % confidence intervals of the metrics that are means over captions: ``exact_match`` and ``cider_d``."""
    cider = Cider(references)
    matches = sum(caption in texts for caption, texts in zip(captions, references, strict=True))
    return {
        "exact_match": wilson(matches, len(captions)),
        "cider_d": bootstrap(np.array([*map(cider.score, captions, references)])),
    }


def bleu(captions: Sequence[str], references: Sequence[Sequence[str]], n: int) -> float:
    """BLEU of the corpus, 0 to 1, of n-grams up to ``n`` words; of two equally near lengths the shorter counts."""
    shortest_first = [sorted(texts, key=lambda text: len(text.split())) for texts in references]
    return float(bleu_score(captions, shortest_first, n_gram=n))


def _rouge(captions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    found = rouge_score(list(captions), [list(texts) for texts in references], accumulate="best", rouge_keys=ROUGE)
    return float(found[f"{ROUGE}_fmeasure"])


def attention_on_digits(caption: str, attention: npt.NDArray[np.float32], scene: Scene) -> list[float]:
    """For each word of ``caption`` that names a digit, the share of its attention on the digits it names: 0 to 1.

    ``attention`` is (T, h, w), a grid for each word in turn, with T at least the number of words. The attention of a
    cell is spread evenly over its pixels, and the part inside the digits' boxes counts. It is 0 for a digit that the
    scene does not have.

    Raises:
        EvaluationError: the caption has more words than the attention, or a cell is not a whole number of pixels.
    """
    named = named_digits(caption.split())
    steps, height, width = attention.shape
    if len(named) > steps or SIDE % height or SIDE % width:
        raise EvaluationError(
            f"the attention has {steps} steps of {height}x{width} cells; it needs {len(named)} steps or more, of cells "
            f"that divide {SIDE}x{SIDE} pixels"
        )
    return [
        float((grid * scene.cover(scene.places(digit), height, width)).sum())
        for grid, digit in zip(attention, named, strict=False)
        if digit is not None
    ]


def attention_mass(
    captions: Sequence[str], attention: Sequence[npt.NDArray[np.float32]], scenes: Sequence[Scene]
) -> float:
    """The mean of `attention_on_digits` over all words of ``captions`` that name a digit; 0 if there are none.

    Raises:
        EvaluationError: as `attention_on_digits`.
    """
    masses = [mass for each in zip(captions, attention, scenes, strict=True) for mass in attention_on_digits(*each)]
    return fmean(masses) if masses else 0.0
