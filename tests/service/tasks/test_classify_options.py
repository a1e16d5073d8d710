"""What a caller chooses is something the model has, or is refused by name."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.engine import Model
from service.engine.session import Session
from service.errors import InvalidArgument
from service.package import read_package
from service.tasks.classification import ClassifyAsk
from service.tasks.classify_options import ClassifyOptions


def choice(explaining: Path, model: str = "seeing", **options: Any) -> ClassifyOptions:
    loaded = Model(read_package(explaining / model / "1"), partial(Session, intra_op=1))
    return ClassifyOptions.of(loaded, ClassifyAsk.model_construct(**options))


def test_who_chooses_nothing_gets_the_cards_defaults(explaining: Path) -> None:
    assert choice(explaining) == ClassifyOptions(top_k=2, views="single", explain="", label=None, layer=0)
    assert choice(explaining, "narrow").views == "flip"


CHOSEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "labels": ({"top_k": 3}, {"top_k": 3}),
    "views": ({"views": "ten_crop"}, {"views": "ten_crop"}),
    "map_of_the_top": ({"explain": "cam"}, {"explain": "cam", "label": None}),
    "map_of_a_label": ({"explain": "cam", "explain_label": "two"}, {"label": 2}),
    "map_of_an_index": ({"explain": "cam", "explain_label": "1"}, {"label": 1}),
    "last_layer": ({"explain": "deconv"}, {"explain": "deconv", "layer": 2}),
    "a_layer": ({"explain": "deconv", "layer": "conv2"}, {"layer": 1}),
}


@pytest.mark.parametrize(("options", "wanted"), CHOSEN.values(), ids=list(CHOSEN))
def test_what_the_model_has_may_be_chosen(options: dict[str, Any], wanted: dict[str, Any], explaining: Path) -> None:
    chosen = choice(explaining, **options)._asdict()
    assert {key: chosen[key] for key in wanted} == wanted


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "more_labels_than_classes": ("tiny", {"top_k": 4}, "top_k is 4; model 'tiny' allows 1 to 3"),
    "unknown_views": (
        "tiny",
        {"views": "double"},
        "views is 'double'; model 'tiny' allows .*'single', 'flip', 'ten_crop'",
    ),
    "views_of_another_case": ("tiny", {"views": "Flip"}, "views is 'Flip'"),
    "views_not_allowed": ("narrow", {"views": "ten_crop"}, r"allows \['single', 'flip'\]"),
    "unknown_method": ("seeing", {"explain": "lime"}, r"explain is 'lime'; model 'seeing' allows \['cam', 'deconv'\]"),
    "a_method_it_has_not": ("mapping", {"explain": "deconv"}, r"model 'mapping' allows \['cam'\]"),
    "no_method": ("tiny", {"explain": "cam"}, "explain is 'cam'; model 'tiny' allows none"),
    "unknown_label": (
        "seeing",
        {"explain": "cam", "explain_label": "cat"},
        r"explain_label is 'cat'; model 'seeing' allows \['zero', 'one', 'two', '0\.\.2'\]",
    ),
    "index_past_the_classes": ("seeing", {"explain": "cam", "explain_label": "3"}, "explain_label is '3'"),
    "negative_index": ("seeing", {"explain": "cam", "explain_label": "-1"}, "explain_label is '-1'"),
    "digits_of_another_script": ("seeing", {"explain": "cam", "explain_label": "²"}, "explain_label is '²'"),
    "endless_digits": ("seeing", {"explain": "cam", "explain_label": "0" * 9999}, "explain_label is '0{80}'"),
    "label_without_a_map": (
        "seeing",
        {"explain_label": "two"},
        "explain_label was given; it is allowed with explain 'cam' only",
    ),
    "label_of_a_layer": (
        "seeing",
        {"explain": "deconv", "explain_label": "two"},
        "it is allowed with explain 'cam' only",
    ),
    "unknown_layer": (
        "seeing",
        {"explain": "deconv", "layer": "fc"},
        r"layer is 'fc'; model 'seeing' allows \['conv1', 'conv2', 'conv3'\]",
    ),
    "layer_without_deconv": ("seeing", {"layer": "conv1"}, "layer was given; it is allowed with explain 'deconv' only"),
    "layer_of_a_map": ("seeing", {"explain": "cam", "layer": "conv1"}, "it is allowed with explain 'deconv' only"),
    "endless_views": ("tiny", {"views": "x" * 9999}, "views is 'x{80}'"),
}


@pytest.mark.parametrize(("model", "options", "message"), REFUSED.values(), ids=list(REFUSED))
def test_what_the_model_does_not_have_is_refused_in_few_words(
    model: str, options: dict[str, Any], message: str, explaining: Path
) -> None:
    with pytest.raises(InvalidArgument, match=message) as refused:
        choice(explaining, model, **options)
    assert len(str(refused.value)) < 250
