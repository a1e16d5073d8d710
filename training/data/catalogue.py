"""All data sets, by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from service.nearest import did_you_mean
from training.data.captions import CaptionSource
from training.data.digit_scenes import COUNTS, DigitScenes
from training.data.flickr8k import Flickr8k
from training.data.folder import FolderSource
from training.data.image_sets import SOURCES
from training.data.language_texts import LanguageTexts
from training.data.mask_sets import MASK_SETS
from training.data.masks import MaskSource
from training.data.published_masks import PublishedMasks
from training.data.scene_masks import SceneMasks
from training.data.single_digits import COUNTS as SINGLE_COUNTS
from training.data.single_digits import SingleDigits
from training.data.source import Shape, Source
from training.data.view import View
from training.errors import DataError


def open_scenes(folder: Path | None) -> DigitScenes:
    """The scenes of MNIST's digits, whose files are in ``folder``."""
    return DigitScenes(digits=find_source("mnist", folder=folder), mean=(0.0669,), std=(0.2149,), counts=COUNTS)


def _placed(source: PublishedMasks, folder: Path | None) -> MaskSource:
    return replace(source, folder=folder)


# Each of these is opened with the folder of data.
DRAWN: Mapping[str, Callable[[Path | None], Source]] = {
    "single-digits": lambda folder: SingleDigits(
        digits=find_source("mnist", folder=folder), counts=SINGLE_COUNTS, mean=(0.0287,), std=(0.1413,)
    ),
}

CAPTIONED: Mapping[str, Callable[[Path | None], CaptionSource]] = {
    "digit-scenes": open_scenes,
    # The photographs compressed once more, at 128x128: no public host has this form.
    "flickr8k": lambda folder: Flickr8k(
        files={
            "Flicker8k_Dataset.tar": "ab25879555275e2b1075f703a6e4972d30539d105c7edcfb48fdd7823da575ee",
            "Flickr8k.token.txt": "38fb4a464a982cc8216a28f45c8fb3c30f5e58b3753be9f2036d578649bf3396",
            "Flickr_8k.trainImages.txt": "e330ddd5156a4c2d2e2b67bc587e70e588f2d132bd8a10dc54dcb71e58115d8e",
            "Flickr_8k.devImages.txt": "18ba829f47f6df1cb830bf7f0506e2ddf333818925299babbd1bbcaf50fdc504",
            "Flickr_8k.testImages.txt": "c0924146c131458ceba45da59670fe9520eadce1e5cafffa16a817672a9b1f17",
        },
        mean=(0.4579, 0.4464, 0.4036),
        std=(0.2655, 0.2600, 0.2737),
        folder=folder,
    ),
}

MASKED: Mapping[str, Callable[[Path | None], MaskSource]] = {
    **{name: partial(_placed, source) for name, source in MASK_SETS.items()},
    "digit-scenes": lambda folder: SceneMasks.of(open_scenes(folder)),
}


def find_captions(dataset: str, folder: Path | None = None) -> CaptionSource:
    """The data set of images with captions named ``dataset`` in `CAPTIONED`, with its files in ``folder``.

    Raises:
        DataError: there is no such data set.
    """
    if dataset not in CAPTIONED:
        known = ", ".join(CAPTIONED)
        raise DataError(f"no data set with captions {dataset!r}; there are {known}{did_you_mean(dataset, CAPTIONED)}")
    return CAPTIONED[dataset](folder)


def find_masks(dataset: str, folder: Path | None = None) -> MaskSource:
    """The data set of images with masks named ``dataset`` in `MASKED`, with its files in ``folder``.

    Raises:
        DataError: there is no such data set.
    """
    if dataset not in MASKED:
        known = ", ".join(MASKED)
        raise DataError(f"no data set with masks {dataset!r}; there are {known}{did_you_mean(dataset, MASKED)}")
    return MASKED[dataset](folder)


def find_texts(dataset: str) -> LanguageTexts:
    """The texts named ``dataset``.

    Raises:
        DataError: there are no such texts.
    """
    source = LanguageTexts()
    if dataset != source.name:
        raise DataError(f"no texts {dataset!r}; there are {source.name!r}")
    return source


def find_source(
    dataset: str, shape: Shape | None = None, folder: Path | None = None, classes: Sequence[str] = ()
) -> Source:
    """The data set ``dataset``, with images for a network of input ``shape`` (C, H, W).

    ``dataset`` is a name in `SOURCES` or `DRAWN`, with its files in ``folder``, or the path of a folder of images by
    class. ``shape`` is by default that of the published or drawn images, and ``classes`` selects some of the labels,
    which are then numbered in that order.

    Raises:
        DataError: there is no such data set, a folder has no classes, or ``classes`` has a label that it lacks.
    """
    source: Source
    if dataset in SOURCES:
        published = source = replace(SOURCES[dataset], folder=folder)
        shape = shape or published.shape
    elif dataset in DRAWN:
        source = DRAWN[dataset](folder)
        shape = shape or source.shape
    elif Path(dataset).is_dir():
        if shape is None:
            raise DataError(f"{dataset}: images in a folder have no common size; give a shape")
        source = FolderSource(Path(dataset), shape)
    else:
        known = [*SOURCES, *DRAWN]
        names, near = ", ".join(known), did_you_mean(dataset, known)
        raise DataError(f"no data set {dataset!r}: it is not a folder, and not one of {names}{near}")
    classes = tuple(classes) or source.labels
    return source if (shape, classes) == (source.shape, source.labels) else View(source, shape, classes)
