"""A trained recogniser, asked as callers ask it."""

from pathlib import Path

import numpy as np
import torch

from service.package import Package
from tests.service.tasks.text_classifying import serving
from training.export.float16 import round_weights
from training.language.learner import encode
from training.language.package import from_run


async def test_texts_of_any_length_get_the_languages_that_torch_would_say(
    recogniser_package: Package, recogniser_run: Path
) -> None:
    texts = ["a", "Alle Menschen sind frei geboren.", "二", "x" * 64, "y" * 65, "Ça va? " * 30, "т" * 512]
    network = from_run(recogniser_run).network
    round_weights(network)
    labels = recogniser_package.labels
    async with serving(recogniser_package.folder.parents[1]) as (classifier, _):
        answer = await classifier.batch(texts, "", "", len(labels))
    for text, result in zip(texts, answer.results, strict=True):
        with torch.no_grad():
            wanted = torch.softmax(network(torch.from_numpy(encode([text]))), 1)[0].numpy()
        found = {label.index: label.probability for label in result.labels}
        np.testing.assert_allclose([found[i] for i in range(len(labels))], wanted, atol=1e-5)
        assert [label.label for label in result.labels] == [labels[label.index] for label in result.labels]
        assert result.labels[0].index == wanted.argmax()
