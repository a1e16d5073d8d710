"""A segmentation network of a second of training, on a few scenes of a few digits."""

from training.recipe import load_recipe
from training.segmentation.recipe import SegmentationRecipe

SMALL = (
    "epochs=2",
    "batch_size=16",
    "precision=32-true",
    "ema=0",
    "schedule={}",
    "gate={}",
    "config.widths=[[4],[8]]",
    "config.bottom=[8]",
    "optimiser.learning_rate=0.01",
)


def tiny_segmenter(*changes: str) -> SegmentationRecipe:
    """The shipped recipe of digit scenes, shrunk."""
    recipe = load_recipe("scenes-unet", (*SMALL, *changes))
    assert isinstance(recipe, SegmentationRecipe)
    return recipe
