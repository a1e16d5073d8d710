"""The explanations of a classifier: one of its tensors, or a further graph."""

from typing import Annotated

from pydantic import Field

from service.package.graph import MAX_TENSORS, Frozen, Graph, TensorName, TensorSpec, Words, find

LAYER = "layer"
RECONSTRUCTIONS, MAPS, STRENGTHS = "reconstructions", "maps", "strengths"


class ActivationMap(Frozen):
    """``tensor`` has class activation maps (batch, classes, h, w): where the network saw each class."""

    tensor: TensorName

    def check(self, outputs: tuple[TensorSpec, ...], classes: int) -> None:
        """Check that the classifier's ``outputs`` have this tensor.

        Raises:
            ValueError: they have not.
        """
        found = find(outputs, self.tensor, "explain.cam.tensor")
        if found.datatype != "FP32" or len(found.shape) != 4 or found.shape[1] != classes or min(found.shape[2:]) < 1:
            raise ValueError(
                f"explain.cam.tensor {self.tensor!r} is {found.datatype} {list(found.shape)}; "
                f"it must be FP32 [-1, {classes}, h, w], a map for each class"
            )


class Deconvolution(Frozen):
    """A further graph that shows what in an image drives the strongest maps of one of its ``layers``.

    Its inputs are the classifier's image and ``layer`` (batch), an index into ``layers``; its outputs are
    ``reconstructions`` (batch, K, height, width) for grey and (batch, K, height, width, 3) for colour, ``maps``
    (batch, K), the indices of these maps, and ``strengths`` (batch, K), their largest activations in descending order.
    """

    graph: Graph
    layers: Annotated[tuple[Words, ...], Field(min_length=1, max_length=MAX_TENSORS)]

    @property
    def reconstruction(self) -> tuple[int, ...]:
        """The shape of one image's reconstructions: (K, height, width) or (K, height, width, 3)."""
        return find(self.graph.outputs, RECONSTRUCTIONS, "explain.deconv.graph").shape[1:]

    def check(self, image: TensorSpec) -> None:
        """Check that the graph fits the classifier with the input ``image``.

        Raises:
            ValueError: it does not.
        """
        if len(set(self.layers)) < len(self.layers):
            raise ValueError(f"explain.deconv.layers is {list(self.layers)}; each layer may occur only once")
        if not self.graph.max_batch:
            raise ValueError("explain.deconv.graph: max_batch is 0; the graph needs a batch dimension")
        strongest = self.reconstruction[:1]
        inputs = (image, TensorSpec(name=LAYER, datatype="INT64", shape=(-1,)))
        outputs = (
            TensorSpec(name=RECONSTRUCTIONS, datatype="FP32", shape=(-1, *strongest, *image.shape[1:])),
            TensorSpec(name=MAPS, datatype="INT64", shape=(-1, *strongest)),
            TensorSpec(name=STRENGTHS, datatype="FP32", shape=(-1, *strongest)),
        )
        if -1 in self.reconstruction or 0 in self.reconstruction:
            raise ValueError(
                f"explain.deconv.graph: reconstructions are {list(self.reconstruction)}; all sizes must be fixed"
            )
        for kind, wanted, found in (("inputs", inputs, self.graph.inputs), ("outputs", outputs, self.graph.outputs)):
            if _words(wanted) != _words(found):
                raise ValueError(f"explain.deconv.graph: {kind} are {_words(found)}; they must be {_words(wanted)}")


class Explain(Frozen):
    """The explanations that the classifier offers."""

    cam: ActivationMap | None = None
    deconv: Deconvolution | None = None

    @property
    def methods(self) -> list[str]:
        """The names of the explanations it has."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]


def _words(specs: tuple[TensorSpec, ...]) -> dict[str, str]:
    return {spec.name: f"{spec.datatype} {list(spec.shape)}" for spec in specs}
