"""The card of a model that generates images from random numbers."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.package.card import SCORE, Card, Golden
from service.package.graph import (
    MAX_TENSORS,
    FileName,
    Frozen,
    Graph,
    Integer,
    IntegerParameter,
    NumberParameter,
    TensorName,
    TensorSpec,
    Words,
    find,
)
from service.package.loop import Loop
from service.package.provenance import Provenance
from service.package.sources import Draw


class Control(NumberParameter):
    """A number that a caller may set, and the tensor that takes it: FP32, one number a row."""

    tensor: TensorName


class LabelChoice(Frozen):
    """The classes of which a caller may choose one.

    Attributes:
        tensor: takes the class: INT64, one number a row.
        labels: the file with a label of each class, one per line.
        unconditional: the number for a sample of any class; None if each sample is of a class.
    """

    tensor: TensorName
    labels: FileName
    unconditional: Integer | None = None


class Sample(Frozen):
    """The outputs of the loop that are pictures, of height H and width W.

    Attributes:
        tensor: names the finished samples, (batch, H, W) or (batch, H, W, 3) uint8, of the last step.
        preview: names what they look like so far, of the same shape, which the loop emits; None if there is none.
            It may be the same tensor.
    """

    tensor: TensorName
    preview: TensorName | None = None

    def check(self, loop: Loop) -> None:
        """Check that the ``loop`` has these outputs.

        Raises:
            ValueError: it has not.
        """
        sample = _picture(loop, "sample.tensor", self.tensor)
        if self.preview is None:
            return
        preview = _picture(loop, "sample.preview", self.preview)
        if self.preview not in loop.emitted:
            raise ValueError(f"sample.preview {self.preview!r} must be emitted; the loop emits {list(loop.emitted)}")
        if preview.shape != sample.shape:
            raise ValueError(f"sample.preview is {list(preview.shape)} and sample.tensor is {list(sample.shape)}")


class Score(Frozen):
    """A graph that tells how likely an image is.

    Attributes:
        graph: takes the image and random numbers, and nothing else.
        image: names its input of the size and colours of a sample.
        log_likelihood: names its output, FP32 [-1]: the log-likelihood of each image in nats, or a bound below it that
            more draws tighten.
        draws: the other inputs, and what each row of them is drawn from.
    """

    graph: Graph
    image: TensorName
    log_likelihood: TensorName
    draws: Annotated[dict[TensorName, Draw], Field(max_length=MAX_TENSORS)]

    def check(self, sample: TensorSpec) -> None:
        """Check that the graph takes images like ``sample``.

        Raises:
            ValueError: it does not, or needs what nothing gives.
        """
        image = find(self.graph.inputs, self.image, "score.image")
        if (image.datatype, image.shape) != (sample.datatype, sample.shape):
            raise ValueError(
                f"score.image {self.image!r} is {image.datatype} {list(image.shape)}; a sample is {sample.datatype} "
                f"{list(sample.shape)}"
            )
        found = find(self.graph.outputs, self.log_likelihood, "score.log_likelihood")
        if (found.datatype, found.shape) != ("FP32", (-1,)):
            raise ValueError(
                f"score.log_likelihood {self.log_likelihood!r} is {found.datatype} {list(found.shape)}; it must be "
                "FP32 [-1]"
            )
        drawn = {tensor.name: tensor for tensor in self.graph.inputs if tensor.name != self.image}
        if drawn.keys() != self.draws.keys():
            raise ValueError(f"score.draws has {sorted(self.draws)}; the graph's other inputs are {sorted(drawn)}")
        for name, tensor in drawn.items():
            if tensor.datatype != "FP32" or -1 in tensor.shape[1:]:
                raise ValueError(f"score.draws {name!r} is {tensor.datatype} {list(tensor.shape)}; only FP32 is drawn")


class GenerateParameters(Frozen):
    """The parameters that a caller of a generator may set, beside the loop's steps.

    Attributes:
        count: how many samples one request may have.
        label: the class of the samples.
        guidance: the weight of the class over none (Ho & Salimans, arXiv:2207.12598).
        temperature: of what is drawn. A loop that chooses tokens has that of its choice instead.
        truncation: the factor of the random numbers: below 1, samples are more alike and more typical.
    """

    count: IntegerParameter
    label: LabelChoice | None = None
    guidance: Control | None = None
    temperature: Control | None = None
    truncation: Control | None = None

    @property
    def controls(self) -> dict[str, Control]:
        """The numbers that can be set, by their names in a request."""
        named = {name: getattr(self, name) for name in ("guidance", "temperature", "truncation")}
        return {name: control for name, control in named.items() if control is not None}


class GenerateCard(Card):
    """The card of a generator: a loop whose random numbers come from the request's seed.

    A network that needs one pass, such as a decoder of latents, is a loop of one step.
    """

    task: Literal["generate"] = "generate"
    title: Words
    lecture: Words = Field(description="Lecture section or paper the model comes from.")
    description: Words
    loop: Loop
    sample: Sample
    parameters: GenerateParameters
    score: Score | None = None
    golden: Golden
    provenance: Provenance

    @property
    def program(self) -> Loop:
        """The loop."""
        return self.loop

    @property
    def beside(self) -> Mapping[str, Graph]:
        """The parts, the loop's decoder, and ``score`` if the card has it."""
        return {**super().beside, **({SCORE: self.score.graph} if self.score else {})}

    @property
    def label_files(self) -> dict[str, str]:
        """The labels of the classes, if there are any."""
        label = self.parameters.label
        return {label.tensor: label.labels} if label else {}

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a sample."""
        height, width = self._sample.shape[1:3]
        return height, width

    @property
    def colour(self) -> bool:
        """Whether a pixel of a sample is red, green and blue."""
        return len(self._sample.shape) > 3

    @property
    def _sample(self) -> TensorSpec:
        return find(self.loop.outputs, self.sample.tensor, "sample.tensor")

    @model_validator(mode="after")
    def _is_a_generator(self) -> Self:
        self.sample.check(self.loop)
        if self.score is not None:
            self.score.check(self._sample)
        count = self.parameters.count
        if count.minimum < 1 or count.maximum > self.loop.max_batch:
            raise ValueError(
                f"parameters.count is {count.minimum} to {count.maximum}; with max_batch {self.loop.max_batch} it may "
                f"be 1 to {self.loop.max_batch}"
            )
        self._check_choice()
        self._check_inputs()
        return self

    def _check_choice(self) -> None:
        choice = self.loop.choice
        if choice is None:
            return
        if choice.default != "sample" or choice.beam is not None:
            raise ValueError(f"loop.choice: default is {choice.default!r}; a generator samples, and has no beams")
        if self.parameters.temperature is not None:
            raise ValueError("parameters.temperature is given; the loop's choice has a temperature of its own")

    def _check_inputs(self) -> None:
        """Check that a request fills what it can set and needs nothing else."""
        inputs = {tensor.name: tensor for tensor in self.loop.inputs}
        settable = {name: (control.tensor, "FP32") for name, control in self.parameters.controls.items()}
        if self.parameters.label is not None:
            settable["label"] = (self.parameters.label.tensor, "INT64")
        for name, (tensor, datatype) in settable.items():
            found = find(inputs.values(), tensor, f"parameters.{name}.tensor")
            if (found.datatype, found.shape) != (datatype, (-1,)):
                raise ValueError(
                    f"parameters.{name}.tensor {tensor!r} is {found.datatype} {list(found.shape)}; it must be "
                    f"{datatype} [-1]"
                )
        named = [tensor for tensor, _ in settable.values()]
        if len(set(named)) < len(named):
            raise ValueError(f"parameters name the tensors {sorted(named)}; each needs one of its own")
        needed = {name for name in inputs if self.loop.defaults.get(name) is None} - set(named)
        if needed:
            raise ValueError(f"loop: a request needs {sorted(needed)} too; a generator needs what its parameters name")


def _picture(loop: Loop, where: str, name: str) -> TensorSpec:
    found = find(loop.outputs, name, where)
    if found.datatype != "UINT8" or len(found.shape) not in (3, 4) or found.shape[3:] not in ((), (3,)):
        raise ValueError(
            f"{where} {name!r} is {found.datatype} {list(found.shape)}; it must be UINT8 [-1, H, W] or [-1, H, W, 3]"
        )
    return found
