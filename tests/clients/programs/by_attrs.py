"""Calls every operation through what openapi-python-client generated: `by_attrs.py URL IMAGE`; prints their names.

Each parsed answer, written out again, is the answer that came.
"""

import json
import sys
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

from attrs_client import Client, models
from attrs_client.api.cards import model
from attrs_client.api.cards import models as all_models
from attrs_client.api.operation import live, metrics, ready
from attrs_client.api.tasks import (
    caption,
    caption_stream,
    classify,
    classify_batch,
    classify_text,
    classify_text_batch,
    embed,
    embed_batch,
    generate,
    generate_steps,
    search,
    search_add,
    search_remove,
    segment,
    segment_batch,
    segment_tiles,
)
from attrs_client.types import File

IMAGE = Path(sys.argv[2]).read_bytes()
client = Client(sys.argv[1])
called: list[str] = []


def call(operation: ModuleType, status: int = 200, **arguments: Any) -> Any:
    """The parsed answer."""
    called.append(operation.__name__.rpartition(".")[2])
    response = operation.sync_detailed(client=client, **arguments)
    assert response.status_code == status, response
    if response.headers["content-type"] == "application/json":
        assert response.parsed.to_dict() == json.loads(response.content), response
    return response.parsed


def image() -> File:
    return File(BytesIO(IMAGE), "image.png", "image/png")


one = call(classify, body=models.ClassifyAsk(image()))
assert isinstance(one, models.Classification)
assert (one.model, one.explanation, len(one.labels)) == ("tiny", None, 2)
seen = call(classify, body=models.ClassifyAsk(image(), model="seeing", explain=models.ClassifyAskExplain.CAM, top_k=1))
assert isinstance(seen.explanation, models.Explanation)
assert (seen.explanation.method, seen.explanation.layer, len(seen.labels)) == ("cam", None, 1)
several = call(classify_batch, body=models.ClassifyBatchAsk([image(), image()], version="1"))
assert [each.labels for each in several.results] == [several.results[0].labels] * 2
text = call(classify_text, body=models.ClassifyTextAsk("abc", top_k=1))
assert len(text.labels) == 1
assert len(call(classify_text_batch, body=models.ClassifyTextBatchAsk(["abc", "cba"], model=None)).results) == 2
vector = call(embed, body=models.EmbedAsk(image(), model="vectors", normalize=True)).embedding
assert abs(sum(value * value for value in vector) - 1) < 1e-5
vectors = call(embed_batch, body=models.EmbedBatchAsk([image(), image()], model="vectors")).results
assert [len(each.embedding) for each in vectors] == [16, 16]
mask = call(segment, body=models.SegmentAsk(image(), output="statistics,polygons,rle,instances"))
assert sum(each.pixels for each in mask.classes) == mask.height * mask.width == 16
assert (mask.mask, mask.rle[0].size) == (None, [4, 4])
masks = call(segment_batch, body=models.SegmentBatchAsk([image(), image()], output="overlay", opacity=0.25)).results
assert masks[0].overlay == masks[1].overlay is not None
assert call(segment_tiles, body=models.SegmentAsk(image(), overlap=2)).startswith("event: tile\ndata: {")
samples = call(generate, body=models.GenerateAsk(count=2, seed=1, label="dark", guidance=2))
assert (len(samples.images), samples.labels, samples.seed) == (2, ["dark", "dark"], 1)
assert call(generate_steps, body=models.GenerateStepsAsk(steps=3)).startswith("event: preview\ndata: {")
found = call(search, body=models.SearchAsk("some", image(), k=3, thumbnails=True)).results
assert [each.thumbnail is not None for each in found] == [True] * 3
assert call(search_add, body=models.SearchAddAsk("some", image(), "new")).replaced is False
assert call(search_remove, body=models.SearchRemoveAsk("some", "new")).removed is True
beams = models.CaptionAskStrategy.BEAM
shown = models.CaptionAskAttention.VALUES
captions = call(caption, body=models.CaptionAsk(image(), strategy=beams, n_best=2, attention=shown, length_penalty=0.5))
assert len(captions.captions) == 2
assert captions.captions[0].words[0].attention.png is None
assert call(caption_stream, body=models.CaptionAsk(image())).startswith("event: word\ndata: {")
cards = {card.name: card for card in call(all_models).models}
assert isinstance(cards["tiny"], models.ClassifyCard)
assert isinstance(cards["letters"], models.TextClassifyCard)
assert isinstance(cards["captioner"], models.CaptionCard)
assert isinstance(cards["colours"], models.SegmentCard)
assert isinstance(cards["greys"], models.GenerateCard)
assert isinstance(cards["own"], models.TensorCard)
assert call(model, name="tiny", version="1").version == 1
assert "no model 'nowhere'" in call(model, 404, name="nowhere").error
assert "top_k is 9" in call(classify, 400, body=models.ClassifyAsk(image(), top_k=9)).error
for probe in (live, ready):
    assert call(probe) == "\n"
assert "lectorium_request_duration_seconds" in call(metrics)
print(json.dumps(sorted(set(called))))
