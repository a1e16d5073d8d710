"""Calls every operation through what openapi-generator generated: `by_pydantic.py URL IMAGE`; prints their names.

Each parsed answer, written out again, is the answer that came.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pydantic_client as generated
from pydantic_client import models

IMAGE = ("image.png", Path(sys.argv[2]).read_bytes())
client = generated.ApiClient(generated.Configuration(sys.argv[1]))
tasks, cards, operation = (api(client) for api in (generated.TasksApi, generated.CardsApi, generated.OperationApi))
called: list[str] = []


def call(method: Any, **arguments: Any) -> Any:
    """The parsed answer."""
    called.append(method.__name__)
    response = getattr(method.__self__, f"{method.__name__}_with_http_info")(**arguments)
    if {name.lower(): value for name, value in response.headers.items()}["content-type"] == "application/json":
        assert response.data.to_dict() == json.loads(response.raw_data), response
    return response.data


def refused(method: Any, status: int, **arguments: Any) -> str:
    """What the answer says was wrong."""
    try:
        raise AssertionError(call(method, **arguments))
    except generated.ApiException as error:
        answered = error
    assert answered.status == status, answered
    assert isinstance(answered.data, models.Error)
    return str(answered.data.error)


one = call(tasks.classify, image=IMAGE)
assert (one.model, one.explanation, len(one.labels)) == ("tiny", None, 2)
seen = call(tasks.classify, image=IMAGE, model="seeing", explain="cam", top_k=1)
assert (seen.explanation.method, seen.explanation.layer, len(seen.labels)) == ("cam", None, 1)
several = call(tasks.classify_batch, images=[IMAGE, IMAGE], version="1")
assert [each.labels for each in several.results] == [several.results[0].labels] * 2
text = call(tasks.classify_text, classify_text_ask=models.ClassifyTextAsk(text="abc", top_k=1))
assert len(text.labels) == 1
texts = models.ClassifyTextBatchAsk(texts=["abc", "cba"], model=None)
assert len(call(tasks.classify_text_batch, classify_text_batch_ask=texts).results) == 2
vector = call(tasks.embed, image=IMAGE, model="vectors", normalize=True).embedding
assert abs(sum(value * value for value in vector) - 1) < 1e-5
vectors = call(tasks.embed_batch, images=[IMAGE, IMAGE], model="vectors").results
assert [len(each.embedding) for each in vectors] == [16, 16]
mask = call(tasks.segment, image=IMAGE, output="statistics,polygons,rle,instances")
assert sum(each.pixels for each in mask.classes) == mask.height * mask.width == 16
assert (mask.mask, mask.rle[0].size) == (None, [4, 4])
masks = call(tasks.segment_batch, images=[IMAGE, IMAGE], output="overlay", opacity=1).results
assert masks[0].overlay == masks[1].overlay is not None
assert call(tasks.segment_tiles, image=IMAGE, overlap=2).startswith("event: tile\ndata: {")
samples = call(tasks.generate, generate_ask=models.GenerateAsk(count=2, seed=1, label="dark", guidance=2))
assert (len(samples.images), samples.labels, samples.seed) == (2, ["dark", "dark"], 1)
on_the_way = call(tasks.generate_steps, generate_steps_ask=models.GenerateStepsAsk(steps=3))
assert on_the_way.startswith("event: preview\ndata: {")
nearest = call(tasks.search, image=IMAGE, index="some", k=3, thumbnails=True).results
assert [each.thumbnail is not None for each in nearest] == [True] * 3
assert call(tasks.search_add, image=IMAGE, index="some", name="new").replaced is False
removal = models.SearchRemoveAsk(index="some", name="new")
assert call(tasks.search_remove, search_remove_ask=removal).removed is True
# A penalty of 0.5 it could not send: this generator's clients fail on any fraction in a multipart form.
captions = call(tasks.caption, image=IMAGE, strategy="beam", n_best=2, attention="values", length_penalty=1)
assert len(captions.captions) == 2
assert captions.captions[0].words[0].attention.png is None
assert call(tasks.caption_stream, image=IMAGE).startswith("event: word\ndata: {")
found = {card.actual_instance.name: card.actual_instance for card in call(cards.models).models}
assert isinstance(found["tiny"], models.ClassifyCard)
assert isinstance(found["letters"], models.TextClassifyCard)
assert isinstance(found["captioner"], models.CaptionCard)
assert isinstance(found["colours"], models.SegmentCard)
assert isinstance(found["greys"], models.GenerateCard)
assert isinstance(found["own"], models.TensorCard)
assert call(cards.model, name="tiny", version="1").actual_instance.version == 1
assert "no model 'nowhere'" in refused(cards.model, 404, name="nowhere")
assert "top_k is 9" in refused(tasks.classify, 400, image=IMAGE, top_k=9)
for probe in (operation.live, operation.ready):
    assert call(probe) == "\n"
assert "lectorium_request_duration_seconds" in call(operation.metrics)
print(json.dumps(sorted(set(called))))
