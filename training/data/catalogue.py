"""All data sets, by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from service.nearest import did_you_mean
from training.data.captions import CaptionSource
from training.data.digit_scenes import COUNTS, DigitScenes
from training.data.flickr8k import Flickr8k
from training.data.folder import FolderSource
from training.data.language_texts import LanguageTexts
from training.data.masks import MaskSource
from training.data.published import TEST, TRAIN, ArchiveSource, IdxSource, PublishedSource
from training.data.published_masks import HashedNames, SplitFolders
from training.data.scene_masks import SceneMasks
from training.data.single_digits import COUNTS as SINGLE_COUNTS
from training.data.single_digits import SingleDigits
from training.data.source import Shape, Source
from training.data.view import View
from training.errors import DataError

SOURCES: Mapping[str, PublishedSource] = {
    "mnist": IdxSource(
        name="mnist",
        title="MNIST",
        licence="CC BY-SA 3.0",
        homepage="http://yann.lecun.com/exdb/mnist/",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        files={
            TRAIN[0]: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            TRAIN[1]: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            TEST[0]: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            TEST[1]: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        labels=tuple("0123456789"),
        shape=(1, 28, 28),
        mean=(0.1307,),
        std=(0.3081,),
    ),
    "fashion-mnist": IdxSource(
        name="fashion-mnist",
        title="Fashion-MNIST",
        licence="MIT",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        files={
            TRAIN[0]: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            TRAIN[1]: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            TEST[0]: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            TEST[1]: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        labels=(
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
        shape=(1, 28, 28),
        mean=(0.2860,),
        std=(0.3530,),
    ),
    # CIFAR-10 compressed once more, as JPEG: figures published for the lossless set do not hold on it.
    "cifar10-jpeg": ArchiveSource(
        name="cifar10-jpeg",
        title="CIFAR-10 as JPEG",
        licence="none stated",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        mirrors=(),
        files={
            "train.tar": "0db8497743cf5709222a41fe9ccb6b13313c50eb8b3c964c64bd5cb6201fdf12",
            "test.tar": "48fcb2a651e07ec9a5d7646c04ea4d30c137bbd9f67762f47c6425ad2b2ef598",
        },
        labels=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        shape=(3, 32, 32),
        mean=(0.4913, 0.4821, 0.4465),
        std=(0.2452, 0.2428, 0.2606),
    ),
}


def open_scenes(folder: Path | None) -> DigitScenes:
    """The scenes of MNIST's digits, whose files are in ``folder``."""
    return DigitScenes(digits=find_source("mnist", folder=folder), mean=(0.0669,), std=(0.2149,), counts=COUNTS)


# Each is opened with the folder of data.
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
    # At a quarter of the published size: no public host has this form.
    "camvid": lambda folder: SplitFolders(
        name="camvid",
        title="CamVid",
        licence="CC BY-NC 4.0",
        homepage="http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
        files={"CamVid-240x180.tar": "60255b681363d73cbb42293529228998bd6f5a359db9c111154a32f06498345f"},
        labels=(
            "sky",
            "building",
            "pole",
            "road",
            "pavement",
            "tree",
            "sign",
            "fence",
            "car",
            "pedestrian",
            "bicyclist",
        ),
        # Those of the published masks.
        palette=(
            "#808080",
            "#800000",
            "#c0c080",
            "#804080",
            "#0000c0",
            "#808000",
            "#c08080",
            "#404080",
            "#400080",
            "#404000",
            "#0080c0",
        ),
        shape=(3, 180, 240),
        mean=(0.4116, 0.4248, 0.4324),
        std=(0.3022, 0.3066, 0.3026),
        shareable=False,
        void=11,
        folder=folder,
    ),
    # Resized to one size and with the nuclei of an image in one mask: no public host has this form.
    "dsb2018-nuclei": lambda folder: HashedNames(
        name="dsb2018-nuclei",
        title="Data Science Bowl 2018 nuclei",
        licence="CC0",
        homepage="https://bbbc.broadinstitute.org/BBBC038",
        files={"dsb2018-256.tar": "edea8da57ef42bcc118ca977f86f5861b1299e0fa9213dbf003185a9b1749377"},
        labels=("background", "nucleus"),
        palette=("#000000", "#ffe119"),
        shape=(3, 256, 256),
        mean=(0.1603, 0.1460, 0.1769),
        std=(0.2564, 0.2366, 0.2872),
        shareable=True,
        background=0,
        countable=(1,),
        folder=folder,
    ),
    "digit-scenes": lambda folder: SceneMasks(open_scenes(folder)),
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
