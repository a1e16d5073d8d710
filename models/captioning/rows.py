"""The table of captioning networks: every variant under its name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.captioning.network import CaptionNetwork
from models.variant import Variant, build_row, find_row


@dataclass(frozen=True, kw_only=True)
class CaptionVariant(Variant):
    """A row of a captioning network: ``macs`` are for an image, once, and ``word_macs`` for each word."""

    word_macs: int


# Digit scenes: 64x64 pixels, grey, encoded as a grid of 8x8 places.
SCENE = {
    "backbone": "vgg7-28",
    "backbone_config": {"widths": ((16, 16), (32, 32), (64, 64, 64))},
    "shape": (1, 64, 64),
    "vocabulary": 41,
    "length": 12,
    "features": 96,
}
# Photographs of 128x128 pixels, also encoded as 8x8 places.
PHOTO = {
    "backbone": "resnet14",
    "shape": (3, 128, 128),
    "vocabulary": 2500,
    "length": 24,
    "features": 160,
}
LARGE_PHOTO = {**PHOTO, "backbone": "resnet50", "shape": (3, 224, 224), "features": 512}
PHOTO_DECODER = {"width": 160, "hidden": 160, "attention": 128, "tied": True, "dropout": 0.4}

RECURRENT = "The mean feature of the image, then one word after the other through {}: {}."
DESCRIPTIONS = {
    "rnn": RECURRENT.format("a plain recurrent network", "each step multiplies the whole state, so it forgets soon"),
    "gru": RECURRENT.format("gated units", "a gate decides how much of the state each word replaces"),
    "lstm": RECURRENT.format("long short-term memory", "gates decide what its cell erases, writes and shows"),
    "attention": "An LSTM that weighs the places of the image anew for each word, so its maps show where it looked.",
    "transformer": "Each word attends to the words before it and to the places of the image; there is no recurrence.",
}
TITLES = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM", "attention": "LSTM with attention", "transformer": "Transformer"}
LECTURES = {
    "rnn": "I2DL XI.2, Recurrent Neural Networks; Vinyals et al. 2014",
    "gru": "MP 7, Recurrent Neural Network; Cho et al. 2014; Vinyals et al. 2014",
    "lstm": "I2DL XI.3, Long Short Term Memory; Vinyals et al. 2014",
    "attention": "I2DL XII.1, Attention; Xu et al. 2015",
    "transformer": "I2DL XII.1, Attention; Vaswani et al. 2017",
}


def _row(name: str, decoder: str, config: Mapping[str, Any], counts: tuple[int, int, int, int]) -> CaptionVariant:
    parameters, macs, word_macs, receptive_field = counts
    return CaptionVariant(
        name=name,
        family=CaptionNetwork,
        config={**config, "decoder": decoder},
        input_shape=config["shape"],
        parameters=parameters,
        macs=macs,
        word_macs=word_macs,
        receptive_field=receptive_field,
        title=TITLES[decoder],
        lecture=LECTURES[decoder],
        description=DESCRIPTIONS[decoder],
    )


def _scene(decoder: str, decoder_config: Mapping[str, Any], counts: tuple[int, int, int, int]) -> CaptionVariant:
    return _row(f"scenes-{decoder}", decoder, {**SCENE, "decoder_config": decoder_config}, counts)


def _photo(name: str, config: Mapping[str, Any], counts: tuple[int, int, int, int]) -> CaptionVariant:
    return _row(name, "attention", {**config, "decoder_config": PHOTO_DECODER}, counts)


# Parameters, multiply-accumulates of an image and of a word, receptive field of the last maps.
ROWS = (
    _scene("rnn", {"width": 64, "hidden": 320}, (276_073, 48_232_448, 145_984, 44)),
    _scene("gru", {"width": 64, "hidden": 192}, (293_289, 48_257_024, 162_368, 44)),
    _scene("lstm", {"width": 64, "hidden": 160}, (286_633, 48_252_928, 156_224, 44)),
    _scene("attention", {"width": 64, "hidden": 128, "attention": 64}, (327_914, 48_521_216, 182_976, 44)),
    _scene("transformer", {"width": 96, "layers": 2, "heads": 4, "hidden": 192}, (354_537, 50_462_720, 217_440, 44)),
    _photo("flickr-attention", PHOTO, (1_362_890, 112_607_232, 797_472, 211)),
    _photo("flickr-attention-resnet50", LARGE_PHOTO, (25_700_911, 4_133_261_312, 1_092_000, 427)),
)
VARIANTS: Mapping[str, CaptionVariant] = {row.name: row for row in ROWS}


def find(name: str) -> CaptionVariant:
    """The row called ``name``.

    Raises:
        KeyError: there is none; the message lists the names there are.
    """
    return find_row(VARIANTS, name)


def build(name: str, config: Mapping[str, Any] | None = None) -> CaptionNetwork:
    """A new network of the row ``name``; ``config`` replaces some of the row's values.

    Raises:
        KeyError: no such row, or a key in ``config`` that the network does not have.
    """
    network = build_row(find(name), config)
    assert isinstance(network, CaptionNetwork)
    return network
