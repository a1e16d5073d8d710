"""Recipes of segmentation networks."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from training.craft.gate import Gate
from training.craft.metric import ACCURACY, LOSS, Metric
from training.craft.recipe import Recipe
from training.craft.table import Share
from training.segmentation.loss import SegmentationLoss

MEAN_IOU = Metric("mean_iou", "max")


class SegmentationGate(Gate):
    """The least value of each metric; None: no limit."""

    bounded: ClassVar[tuple[Metric, ...]] = (
        MEAN_IOU,
        ACCURACY,
        *(Metric(name, "max") for name in ("class_accuracy", "boundary_f1", "dice")),
    )

    mean_iou: Share | None = None
    accuracy: Share | None = None
    class_accuracy: Share | None = None
    boundary_f1: Share | None = None
    dice: Share | None = None


class SegmentationRecipe(Recipe):
    """``dataset`` is one of images with masks; the network learns its ``examples``, evenly spaced, or all.

    ``transfer`` gives the network's encoder the weights of a classifier, or, with ``fresh = []``, the whole network
    those of another segmentation network.
    """

    task: Literal["segment"] = "segment"
    loss: SegmentationLoss = SegmentationLoss()
    gate: SegmentationGate | None = None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """See `Recipe`."""
        return LOSS, ACCURACY, MEAN_IOU

    @property
    def handicaps(self) -> tuple[str, ...]:
        """See `Recipe`."""
        return (*super().handicaps, *(["label smoothing"] if self.loss.label_smoothing else []))

    @model_validator(mode="after")
    def _check(self) -> Self:
        crop = self.augmentation.crop
        problems = {
            "epochs is 0; a segmentation network needs 1 or more": self.epochs == 0,
            'batch_size is "full"; a segmentation network needs a number': self.batch_size == "full",
            f"augmentation.crop is {crop}; masks cannot be cropped, so it must be 0: shift or zoom move both": crop > 0,
        }
        for problem, there in problems.items():
            if there:
                raise ValueError(problem)
        return self
