"""Graphs without a card, as people bring their own."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import Engine
from service.errors import InvalidArgument
from tests.bare_packages import OFFSET, adder, detector, external, text_doubler, write_bare
from tests.service.engine.asking import serving
from tests.service.engine.controlling import refusal


async def infer_x(engine: Engine, x: Any, name: str = "bare") -> Any:
    return (await engine.infer(name, None, {"x": np.asarray(x, "f4")})).outputs["y"]


async def test_a_graph_without_a_card_is_served_by_what_it_says(tmp_path: Path) -> None:
    write_bare(tmp_path, adder())
    async with serving(tmp_path, default_max_batch=5) as engine:
        (model,) = engine.repository
        assert (model.name, model.version, model.program.max_batch) == ("bare", "1", 5)
        x = np.arange(28, dtype="f4").reshape(7, 4)
        np.testing.assert_array_equal(await infer_x(engine, x), x + OFFSET)
        assert list(model.statistics.batches) == [5, 2]
        with pytest.raises(InvalidArgument, match=r"is \[1, 3\]; .* allows \[-1, 4\]"):
            await infer_x(engine, np.zeros((1, 3)))


async def test_rows_that_a_graph_does_not_keep_apart_get_their_own_answers(tmp_path: Path) -> None:
    write_bare(tmp_path, detector())
    async with serving(tmp_path) as engine:
        asked = [np.eye(1, 4, place, dtype="f4") for place in range(4)]
        answers = await asyncio.gather(*(infer_x(engine, x) for x in asked))
        assert [answer.tolist() for answer in answers] == [[[0, place]] for place in range(4)]
        assert (await infer_x(engine, np.ones((1, 4)))).shape == (4, 2)


async def test_external_data_beside_the_graph_is_read(tmp_path: Path) -> None:
    folder = write_bare(tmp_path, external("weights.bin"))
    (folder / "weights.bin").write_bytes(np.arange(4, dtype="f4").tobytes())
    async with serving(tmp_path) as engine:
        assert engine.repository.get("bare").card.files.keys() == {"model.onnx", "weights.bin"}
        assert (await infer_x(engine, np.zeros((1, 4)))).tolist() == [[0, 1, 2, 3]]


async def test_external_data_behind_the_links_of_a_mounted_config_map_is_read(tmp_path: Path) -> None:
    folder = write_bare(tmp_path, external("weights.bin"))
    (folder / "..data").mkdir()
    (folder / "..data/weights.bin").write_bytes(np.arange(4, dtype="f4").tobytes())
    (folder / "model.onnx").rename(folder / "..data/model.onnx")
    for file in ("model.onnx", "weights.bin"):
        (folder / file).symlink_to(f"..data/{file}")
    async with serving(tmp_path) as engine:
        assert engine.repository.get("bare").card.files.keys() == {"model.onnx", "weights.bin"}
        assert (await infer_x(engine, np.zeros((1, 4)))).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("location", ["../secret.bin", "{root}/secret.bin", "link.bin", "below/../../secret.bin"])
async def test_external_data_elsewhere_is_refused(location: str, tmp_path: Path) -> None:
    folder = write_bare(tmp_path / "zoo", external(location.format(root=tmp_path / "zoo/bare")))
    (folder.parent / "secret.bin").write_bytes(bytes(16))
    (folder / "below").mkdir()
    if location == "link.bin":
        (folder / location).symlink_to(folder.parent / "secret.bin")
    reason = await refusal(serving(tmp_path / "zoo"))
    assert ("link.bin is a link out" if location == "link.bin" else "cannot load it") in reason


async def test_texts_share_batches_and_each_request_gets_its_own(tmp_path: Path) -> None:
    write_bare(tmp_path, text_doubler())
    async with serving(tmp_path, default_max_batch=4) as engine:

        async def double(*texts: str) -> list[str]:
            answer = await engine.infer("bare", None, {"x": np.array(texts, object)})
            return list(answer.outputs["y"])

        asked = [[f"{i}"] * (1 + i % 6) for i in range(12)]
        assert await asyncio.gather(*(double(*texts) for texts in asked)) == [[t * 2 for t in texts] for texts in asked]
        (model,) = engine.repository
        assert max(model.statistics.batches) == 4
        # The next text may be as long as any, so none is run where others wait.
        assert model.session.inline_rows == 0
