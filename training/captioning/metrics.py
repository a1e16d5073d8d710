"""How good captions are: against what people wrote, and whether the decoder looked at what it named."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt
from torchmetrics.functional.text import bleu_score, rouge_score

from training.captioning.cider import LONGEST, Cider
from training.data.scene_grammar import SIDE, named_digits
from training.data.scenes import Scene
from training.errors import EvaluationError

ROUGE = "rougeL"


def score(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """The metrics of ``captions``, each with its ``references``; all are words separated by one space.

    ``bleu_1`` to ``bleu_4`` of the corpus without smoothing (Papineni et al. 2002), ``rouge_l``, the mean F1 of the
    longest common subsequence with the nearest reference (Lin 2004), ``cider``, the mean CIDEr-D, which goes to 10, and
    ``exact_match``, the share of captions that are one of their references. All but ``cider`` go from 0 to 1.

    Raises:
        EvaluationError: there are no captions, or not as many lists of references, or one of these is empty.
    """
    if not captions or len(captions) != len(references) or not all(references):
        empty = sum(not texts for texts in references)
        raise EvaluationError(
            f"{len(captions)} captions and {len(references)} lists of references, {empty} of them empty;"
            " wanted one list for each caption, of one reference or more"
        )
    cider = Cider(references)
    metrics: dict[str, float] = {
        **{f"bleu_{n}": bleu(captions, references, n) for n in range(1, LONGEST + 1)},
        "rouge_l": _rouge(captions, references),
        "cider": fmean(map(cider.score, captions, references)),
        "exact_match": fmean(caption in texts for caption, texts in zip(captions, references, strict=True)),
    }
    return {name: round(value, 6) for name, value in metrics.items()}


def bleu(captions: Sequence[str], references: Sequence[Sequence[str]], n: int) -> float:
    """BLEU of the corpus, 0 to 1, by n-grams of up to ``n`` words; of two references as near in length, the shorter."""
    shortest_first = [sorted(texts, key=lambda text: len(text.split())) for texts in references]
    return float(bleu_score(captions, shortest_first, n_gram=n))


def _rouge(captions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    found = rouge_score(list(captions), [list(texts) for texts in references], accumulate="best", rouge_keys=ROUGE)
    return float(found[f"{ROUGE}_fmeasure"])


def attention_on_digits(caption: str, attention: npt.NDArray[np.float32], scene: Scene) -> list[float]:
    """For each word of ``caption`` that names a digit, how much of its attention lies on the digits it names: 0 to 1.

    ``attention`` is (T, h, w), a grid for each word in turn, T the words or more; what a cell has is spread evenly over
    its pixels, and what lies in the digits' boxes counts. A digit that the scene does not have gives 0.

    Raises:
        EvaluationError: the caption has more words than the attention, or the cells have no whole number of pixels.
    """
    named = named_digits(caption.split())
    steps, height, width = attention.shape
    if len(named) > steps or SIDE % height or SIDE % width:
        raise EvaluationError(
            f"attention of {steps} steps over {height}x{width} cells, for {len(named)} words and {SIDE}x{SIDE} pixels"
        )
    return [
        float((grid * scene.cover(scene.places(digit), height, width)).sum())
        for grid, digit in zip(attention, named, strict=False)
        if digit is not None
    ]


def attention_mass(
    captions: Sequence[str], attention: Sequence[npt.NDArray[np.float32]], scenes: Sequence[Scene]
) -> float:
    """The mean of `attention_on_digits` over all words of ``captions`` that name a digit; 0 where none does.

    Raises:
        EvaluationError: as there.
    """
    masses = [mass for each in zip(captions, attention, scenes, strict=True) for mass in attention_on_digits(*each)]
    return fmean(masses) if masses else 0.0
