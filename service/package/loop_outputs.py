"""What the outputs of a step are for: which one ends a row, which are words, and what a decoder makes of them."""

from collections.abc import Sequence

from service.package.graph import FileName, Frozen, Graph, TensorName, TensorSpec, Words, find
from service.package.sources import Number, holds


class End(Frozen):
    """A row ends before its last step when this output of it, a single number, equals ``value``.

    The output may be the ``token`` of a choice; with beams it must be.
    """

    output: TensorName
    value: Number

    def check(self, given: Sequence[TensorSpec]) -> None:
        """Check that the step gives such an output.

        Raises:
            ValueError: it does not.
        """
        output = find(given, self.output, "end.output")
        if output.shape[1:] not in ((), (1,)):
            raise ValueError(f"end.output {self.output!r} is {list(output.shape)}; it must be one number per row")
        if not holds(output, self.value):
            raise ValueError(f"end.value is {self.value}, which {output.datatype} cannot hold")


class Text(Frozen):
    """The words of an emitted ``output``: a token is the number, from 0, of its line in the file ``vocabulary``.

    ``separator`` is put between two pieces; the token that ends a row has no piece.
    """

    output: TensorName
    vocabulary: FileName
    separator: Words = ""

    def check(self, given: Sequence[TensorSpec], emit: Sequence[str], end: End | None) -> None:
        """Check that the step gives such an output, and that it is emitted and the one that ends a row.

        Raises:
            ValueError: it does not, or it is not.
        """
        tokens = find(given, self.output, "text.output")
        if self.output not in emit or "INT" not in tokens.datatype or tokens.shape[1:] not in ((), (1,)):
            raise ValueError(f"text.output {self.output!r} must be an emitted output of one whole number per row")
        if end is not None and end.output != self.output:
            raise ValueError(f"end.output is {end.output!r} and text.output is {self.output!r}; they must be the same")


def check_decoder(decoder: Graph, given: Sequence[TensorSpec], told: Sequence[TensorSpec], text: Text | None) -> None:
    """Check that the decoder takes what the loop emits or answers, and makes outputs of other names.

    Args:
        decoder: the graph.
        given: the outputs of a step.
        told: those of them that the loop emits or answers.
        text: the output that is words, if there is one.

    Raises:
        ValueError: it does not.
    """
    for tensor in decoder.inputs:
        where = f"the input {tensor.name!r} of the decoder"
        check_same(tensor, find(told, tensor.name, where), where)
    for tensor in decoder.outputs:
        if -1 in tensor.shape[1:]:
            raise ValueError(f"decoder tensor {tensor.name!r} is {list(tensor.shape)}; only the batch may vary")
    if text is not None and text.output in {tensor.name for tensor in decoder.inputs}:
        raise ValueError(f"text.output {text.output!r} is an input of the decoder, so callers do not get it")
    if taken := {tensor.name for tensor in decoder.outputs} & {tensor.name for tensor in given}:
        raise ValueError(f"the decoder has an output {min(taken)!r}, a name that an output of the step has")


def check_same(wanted: TensorSpec, found: TensorSpec, where: str) -> None:
    """Check that two tensors have the same datatype and shape.

    Raises:
        ValueError: they have not; ``where`` says what the first is.
    """
    if (wanted.datatype, wanted.shape) != (found.datatype, found.shape):
        raise ValueError(
            f"{where} is {found.name!r}, {found.datatype} {list(found.shape)}; "
            f"it must be {wanted.datatype} {list(wanted.shape)}"
        )
