"""What a model's masks are made of: its classes, their labels, and how images are brought to it."""

from collections.abc import Sequence
from typing import NamedTuple

from service.engine import Model
from service.package import ClassifyCard, Preprocessing, Segmentation

# Of a mask that a classifier's map gives: what was found, and the rest. The names are those of tensors made here.
FOUND = 1
LOCATED = Segmentation(
    mask="mask",
    probability="probability",
    area="area",
    confidence="confidence",
    labels="labels.txt",
    palette=("#000000", "#ffe119"),
    background=0,
    countable=(FOUND,),
)
BACKGROUND = "background"


class MaskModel(NamedTuple):
    """A segmenter, or a classifier that locates what it finds.

    Attributes:
        name: of the model.
        preprocessing: of its images.
        classes: of its masks, and the names of the tensors that these come from.
        labels: of the classes; of what a classifier locates, the label depends on the image.
    """

    name: str
    preprocessing: Preprocessing
    classes: Segmentation
    labels: Sequence[str]

    @classmethod
    def of(cls, model: Model) -> "MaskModel":
        """What ``model`` gives."""
        if isinstance(model.card, ClassifyCard):
            return cls(model.name, model.card.preprocessing, LOCATED, (BACKGROUND, ""))
        card = model.package.segmenter
        return cls(model.name, card.preprocessing, card.segmentation, model.package.labels)
