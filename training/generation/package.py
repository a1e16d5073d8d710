"""What a generative network's package has beside what all packages have (`training.export.writer`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.generation.latent_graphs import IMAGE, LABEL, LATENT, NOISE, THRESHOLD, TRUNCATION, LatentSampler, VAEScore
from service.package import GenerateCard, Package, Provenance
from training.evaluation import Measured, Measuring
from training.export.counts import count_macs, count_parameters
from training.export.float16 import round_weights
from training.export.onnx_file import answer
from training.export.writer import Arrays, Draft, GraphFile, write
from training.generation.card import SCORE, STEP, UNEQUAL, describe
from training.generation.evaluate import DRAWS, measure
from training.generation.subject import GenerationSubject
from training.packages import LABELS, largest_batch

ROWS = 2  # of the golden example
COMPARED = 4  # rows that are compared with torch


def write_generator(
    subject: GenerationSubject,
    repository: Path,
    *,
    name: str | None = None,
    version: int | None = None,
    replace: bool = False,
) -> Package:
    """Write the package of ``subject`` into ``repository``; its name is ``name``, by default its recipe's.

    Weights are stored in 16 bits. The same subject, code and libraries give the same bytes.

    Raises:
        ExportError: the name is invalid, the version exists and ``replace`` is false, parity with torch is broken, or
            the recipe's gate is missed on the validation split. The repository is then unchanged.
    """
    return write(GeneratorDraft(subject), name or subject.recipe.name, repository, version=version, replace=replace)


class GeneratorDraft(Draft[GenerationSubject]):
    """The package of a VAE: the decoder of drawn latents, and, without classes, the score of an image."""

    def __init__(self, subject: GenerationSubject) -> None:
        self.subject, self.metrics = subject, subject.recipe.metrics
        self.recipe, self.seed = subject.recipe.model_dump(mode="json"), subject.recipe.seed
        self.gate = subject.recipe.targets
        round_weights(subject.network)
        self.sampler, self.score = LatentSampler(subject.network), VAEScore(subject.network, DRAWS)
        self.parameters = count_parameters(subject.network)
        macs = [
            count_macs(module, *(tensor[:1] for tensor in module.examples().values()))
            for module in (self.sampler, self.score)
        ]
        self.macs = macs[0]
        self.batches = (largest_batch(macs[0]), largest_batch(macs[1]))

    def graphs(self) -> Sequence[GraphFile]:
        """See `Draft`."""
        step = GraphFile(STEP, self.sampler, self._latents(COMPARED), self.batches[0], name="step", unequal=UNEQUAL)
        score = GraphFile(SCORE, self.score, self._images(COMPARED), self.batches[1], name="score")
        return [step] if self.subject.network.classes else [step, score]

    def golden(self, folder: Path) -> Arrays:
        """See `Draft`."""
        latents, images = self._latents(ROWS), self._images(ROWS)
        found = {f"step.{name}": array for name, array in (latents | answer(self.sampler, latents)).items()}
        if not self.subject.network.classes:
            found |= {f"score.{name}": array for name, array in (images | answer(self.score, images)).items()}
        return found

    def write_files(self, folder: Path) -> None:
        """Write the labels, if the network is told them."""
        if self.subject.network.classes:
            (folder / LABELS).write_text("".join(f"{label}\n" for label in self.subject.source.labels), "utf-8")

    def describe(self, folder: Path, golden: Arrays, provenance: Provenance) -> GenerateCard:
        """See `Draft`."""
        return describe(self.subject, self.batches, DRAWS, provenance, folder)

    def measure(self, repository: Path, package: Package, split: Measuring) -> Measured | None:
        """See `Draft`."""
        score = package.generator.score
        if score is None:
            return None
        examples = self.subject.validation if split == "validation" else self.subject.source.test()
        return measure(repository, package, score, examples.images)

    def _latents(self, rows: int) -> dict[str, npt.NDArray[Any]]:
        random = np.random.default_rng(0)
        found: dict[str, npt.NDArray[Any]] = {
            LATENT: random.standard_normal((rows, self.subject.network.latent), "f4"),
            TRUNCATION: np.ones(rows, "f4"),
            LABEL: np.arange(rows, dtype="i8") % max(1, self.subject.network.classes),
        }
        return {name: found[name] for name in self.sampler.inputs}

    def _images(self, rows: int) -> dict[str, npt.NDArray[Any]]:
        random = np.random.default_rng(0)
        found: dict[str, npt.NDArray[Any]] = {
            IMAGE: self.subject.validation.images[:rows],
            NOISE: random.standard_normal((rows, DRAWS, self.subject.network.latent), "f4"),
            THRESHOLD: random.random((rows, *self.subject.source.shape), "f4"),
        }
        return {name: found[name] for name in self.score.inputs if name in found}
