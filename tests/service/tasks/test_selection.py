from collections.abc import Callable
from pathlib import Path

import pytest

from service.config import Config
from service.engine import Engine
from service.errors import InvalidArgument, UnknownModel
from service.tasks.caption import Caption
from service.tasks.classify import Classify
from service.tasks.embed import Embed
from service.tasks.selection import Selection
from tests.embedding_packages import write_embedding_package
from tests.packages import write_package
from tests.step_packages import write_captioner, write_words

Write = Callable[[Path], object]


async def select(folder: Path, name: str = "", version: str = "", default: str = "") -> tuple[str, str]:
    """Name and version of the captioner that is found."""
    async with Engine(Config(repository=folder)) as engine:
        found = Selection(engine, Caption.serves, "caption", default)(name, version)
    return found.name, found.version


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A captioner in two versions, beside models of other tasks."""
    write_captioner(tmp_path, "only", 1)
    write_captioner(tmp_path, "only", 2)
    write_package(tmp_path)
    write_words(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "version", "wanted"),
    [("", "", ("only", "2")), ("", "1", ("only", "1")), ("only", "", ("only", "2")), ("only", "1", ("only", "1"))],
)
async def test_the_only_model_of_a_task_answers_where_none_is_named(
    one: Path, name: str, version: str, wanted: tuple[str, str]
) -> None:
    assert await select(one, name, version) == wanted


async def test_a_model_of_another_task_is_refused_with_the_names_of_those_that_would_do(one: Path) -> None:
    with pytest.raises(UnknownModel, match=r"^model 'tiny' does not caption; these do: \['only'\]$"):
        await select(one, "tiny")
    with pytest.raises(UnknownModel, match=r"the default cannot answer: model 'words' does not caption; these do: "):
        await select(one, default="words")


async def test_a_model_may_lack_what_a_task_wants_of_its_kind(tmp_path: Path) -> None:
    write_package(tmp_path)
    config = Config(repository=tmp_path)
    async with Engine(config) as engine:
        with pytest.raises(UnknownModel, match=r"^model 'tiny' does not embed; no served model does$"):
            Selection(engine, Embed.serves, "embed", "")("tiny", "")
    write_embedding_package(tmp_path, "first")
    write_embedding_package(tmp_path, "second")
    async with Engine(config) as engine:
        embed = Selection(engine, Embed.serves, "embed", "")
        assert embed("first", "").name == "first"
        assert embed.served.keys() == {"first", "second"}
        with pytest.raises(UnknownModel, match=r"'tiny' does not embed; these do: \['first', 'second'\]$"):
            embed("tiny", "")
        with pytest.raises(InvalidArgument, match=r"name one of \['first', 'second'\], which embed"):
            embed("", "")


async def test_of_several_one_must_be_named_or_configured(one: Path) -> None:
    write_captioner(one, "another")
    with pytest.raises(InvalidArgument, match=r"no model named in the request; name one of \['another', 'only'\]"):
        await select(one)
    assert await select(one, default="only") == ("only", "2")
    assert await select(one, "another", default="only") == ("another", "1")


async def test_of_several_the_one_whose_card_says_so_is_the_default(one: Path) -> None:
    write_captioner(one, "another", serving={"default": True})
    assert await select(one) == ("another", "1")
    assert await select(one, default="only") == ("only", "2"), "a setting comes before a card"
    write_captioner(one, "another", 2)
    with pytest.raises(InvalidArgument, match=r"name one of \['another', 'only'\]"):
        await select(one)  # its highest version does not say it


async def test_two_defaults_of_one_task_are_none_and_are_named(one: Path) -> None:
    for name in ("first", "second"):
        write_captioner(one, name, serving={"default": True})
    write_package(one, "third", serving={"default": True})
    with pytest.raises(InvalidArgument, match=r"that caption have serving\.default: \['first', 'second'\]"):
        await select(one)


async def test_where_there_is_none_the_error_says_so(tmp_path: Path) -> None:
    write_package(tmp_path)
    with pytest.raises(UnknownModel, match="no model named in the request, and no served model can caption"):
        await select(tmp_path)
    with pytest.raises(UnknownModel, match="the default cannot answer: no model 'gone'"):
        await select(tmp_path, default="gone")
    async with Engine(Config(repository=tmp_path)) as engine:
        assert Selection(engine, Classify.serves, "classify", "")("", "").name == "tiny"
