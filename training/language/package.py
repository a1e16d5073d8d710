"""What a language recogniser's package has beside what all packages have (`training.export.writer`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.export import Dim

from models.language.recogniser import LanguageGraph, LanguageRecogniser
from models.registry import find
from service.package import (
    Classes,
    Dataset,
    Golden,
    Graph,
    InitialWeights,
    IntegerParameter,
    Package,
    Provenance,
    TensorSpec,
    TextClassifyCard,
    TextClassifyParameters,
    TextInput,
)
from training.checkpoint import read_finished, tested
from training.data import find_texts
from training.data.languages import Texts, excerpts
from training.errors import ExportError
from training.evaluation import Measured, Measuring
from training.export.counts import count_parameters
from training.export.float16 import round_weights
from training.export.onnx_file import answer
from training.export.writer import Arrays, Draft, GraphFile, write
from training.history import Row
from training.language.evaluate import measure
from training.language.learner import encode
from training.language.recipe import LanguageRecipe
from training.packages import GOLDEN, GRAPH, LABELS, SHOWN, TOLERANCE, checksums

MAX_BATCH = 32
MAX_BYTES = 1024  # of a text
GOLDEN_LENGTH = 64
# What the figures on the card are of.
MEASURED = (
    "accuracy_everyday is of 20 short sentences of every day in each language, of a median of 31 characters; "
    "accuracy_upper_case and accuracy_without_accents are of the same, written so; accuracy_declaration is of long "
    "sentences of one document, the Universal Declaration of Human Rights, accuracy_declaration_20 of 20 characters of "
    "them. Validation has 10 other sentences and other articles."
)


@dataclass(frozen=True)
class LanguageSubject:
    """A trained recogniser and everything for its card except what the export measures."""

    recipe: LanguageRecipe
    title: str
    lecture: str
    description: str
    network: LanguageRecogniser
    labels: tuple[str, ...]
    examples: Texts
    dataset: Dataset
    created: str
    libraries: Mapping[str, str]
    trained_commit: str
    initial_weights: InitialWeights | None
    history: Sequence[Row]


def from_run(run: Path) -> LanguageSubject:
    """The finished run of a recogniser in the folder ``run``.

    Raises:
        RunError: the folder holds no finished run.
        ExportError: the run is of another task, or its texts have changed since.
    """
    checkpoint, recipe = read_finished(run, LanguageRecipe, "a language recogniser's")
    source, row, network = find_texts(recipe.dataset), find(recipe.model), checkpoint.model()
    assert isinstance(network, LanguageRecogniser)
    return LanguageSubject(
        recipe=recipe,
        title=f"{row.title}: {len(source.labels)} languages",
        lecture=row.lecture,
        description=f"{row.description} {MEASURED}",
        network=network,
        labels=source.labels,
        examples=excerpts(source.validation().declaration, len(source.labels), recipe.pieces.lengths, recipe.seed),
        dataset=tested(run, checkpoint, source, len(source.test())),
        created=checkpoint.created,
        libraries=checkpoint.libraries,
        trained_commit=checkpoint.git_commit,
        initial_weights=checkpoint.initial_weights,
        history=checkpoint.history,
    )


def write_recogniser(
    subject: LanguageSubject,
    repository: Path,
    *,
    name: str | None = None,
    version: int | None = None,
    replace: bool = False,
) -> Package:
    """Write the package of ``subject`` into ``repository``; its name is ``name``, by default its recipe's.

    Weights are stored in 16 bits.

    Raises:
        ExportError: the name is invalid, the version exists and ``replace`` is false, parity with torch is broken, or
            the recipe's gate is missed on the validation split. The repository is then unchanged.
    """
    return write(RecogniserDraft(subject), name or subject.recipe.name, repository, version=version, replace=replace)


class RecogniserDraft(Draft[LanguageSubject]):
    """The package of a language recogniser: one graph, and the names of its languages."""

    def __init__(self, subject: LanguageSubject) -> None:
        self.subject, self.metrics = subject, subject.recipe.metrics
        self.recipe, self.seed = subject.recipe.model_dump(mode="json"), subject.recipe.seed
        self.gate = subject.recipe.targets
        round_weights(subject.network)
        self.graph = _graph(subject)
        self.rows = {self.graph.inputs[0]: encode(subject.examples.texts, GOLDEN_LENGTH)}
        self.parameters, self.macs = count_parameters(subject.network), find(subject.recipe.model).macs

    def graphs(self) -> Sequence[GraphFile]:
        """See `Draft`; a text may have any length."""
        free = {self.graph.inputs[0]: {1: Dim("bytes", min=2)}}
        return [GraphFile(GRAPH, self.graph, self.rows, MAX_BATCH, free=free)]

    def golden(self, folder: Path) -> Arrays:
        """See `Draft`."""
        return {**self.rows, **answer(self.graph, self.rows)}

    def write_files(self, folder: Path) -> None:
        """Write the labels."""
        (folder / LABELS).write_text("".join(f"{label}\n" for label in self.subject.labels), "utf-8")

    def describe(self, folder: Path, golden: Arrays, provenance: Provenance) -> TextClassifyCard:
        """See `Draft`."""
        subject, (text,), (probabilities,) = self.subject, self.graph.inputs, self.graph.outputs
        graph = Graph(
            file=GRAPH,
            inputs=(TensorSpec(name=text, datatype="UINT8", shape=(-1, -1)),),
            outputs=(TensorSpec(name=probabilities, datatype="FP32", shape=(-1, len(subject.labels))),),
            max_batch=MAX_BATCH,
        )
        return TextClassifyCard(
            name=folder.parent.name,
            version=int(folder.name),
            title=subject.title,
            lecture=subject.lecture,
            description=subject.description,
            graph=graph,
            text=TextInput(tensor=text, max_bytes=MAX_BYTES),
            classes=Classes(tensor=probabilities, labels=LABELS),
            parameters=TextClassifyParameters(
                top_k=IntegerParameter(default=SHOWN, minimum=1, maximum=len(subject.labels))
            ),
            golden=Golden(file=GOLDEN, tolerance=TOLERANCE),
            files=checksums(folder),
            provenance=provenance,
        )

    def measure(self, repository: Path, package: Package, split: Measuring) -> Measured:
        """See `Draft`."""
        source = find_texts(self.subject.recipe.dataset)
        return measure(repository, package, source.validation() if split == "validation" else source.test())


def _graph(subject: LanguageSubject) -> LanguageGraph:
    try:
        return LanguageGraph(subject.network).eval()
    except TypeError as error:
        raise ExportError(f"{subject.recipe.name}: {error}") from error
