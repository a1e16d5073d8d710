"""`lectorium index`: makes search indexes of images, and changes them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from service.config import Config, load_config
from service.errors import InvalidArgument, InvalidIndex, LectoriumError
from service.indexes import MAX_ITEMS, MAX_NUMBERS, MAX_THUMBNAIL, METRICS, Description, Store, checked_index_name, mean
from service.indexes import complete as completed
from service.indexes import remove as removed

if TYPE_CHECKING:
    from service.engine import Engine, Model

_PATH = click.Path(path_type=Path, exists=True)
_WAIT_S = 60.0
_SHOWN = 20  # skipped files that are listed
_TOLD = 1000  # items between two lines of progress


@click.group()
def index() -> None:
    """Make, change and describe search indexes, in the folder that LECTORIUM_INDEXES names (./indexes).

    Packages are those of LECTORIUM_REPOSITORY (./models/zoo). The server may run meanwhile: it sees each change.
    """


@index.command()
@click.argument("name")
@click.option("--images", type=_PATH, required=True, help="A folder of images, with its subfolders.")
@click.option("--model", required=True, help="A classifier with an embedding.")
@click.option("--version", default="", help="[default: the newest]")
@click.option("--metric", type=click.Choice(METRICS), default="cosine", show_default=True, help="How to compare.")
@click.option("--threshold", type=float, help="hamming: a bit is set over it. [default: the mean of each number]")
@click.option("--max-items", type=click.IntRange(1, MAX_ITEMS), help="[default: 100,000, or as many as fit 1 GiB]")
@click.option("--thumbnail", type=click.IntRange(0, MAX_THUMBNAIL), default=0, help="Keep pictures of so many pixels.")
def build(
    name: str,
    images: Path,
    model: str,
    version: str,
    metric: Any,
    threshold: float | None,
    max_items: int | None,
    thumbnail: int,
) -> None:
    """Make the index NAME of the images in a folder. If that was interrupted, the same command goes on."""
    if threshold is not None and (metric != "hamming" or not np.isfinite(np.float32(threshold))):
        raise click.UsageError(f"--threshold is {threshold:g}; it must be finite, and needs --metric hamming")

    async def built(config: Config) -> None:
        async with _engine(config, model) as engine:
            chosen = _model(engine, model, version)
            described = _description(chosen, checked_index_name(name), metric, max_items, thumbnail)
            with closing(_created(config.indexes / name, described)) as store:
                await _filled(engine, store, [images], config)
                _end(store, threshold)

    _run(built)


@index.command()
@click.argument("name")
@click.argument("images", nargs=-1, required=True, type=_PATH)
def add(name: str, images: tuple[Path, ...]) -> None:
    """Add IMAGES, files or folders, to the index NAME. An image whose name is there is replaced."""

    async def added(config: Config) -> None:
        with closing(_opened(config, name)) as store:
            async with _engine(config, store.description.model) as engine:
                await _filled(engine, store, images, config, replace=True)

    _run(added)


@index.command("remove")
@click.argument("name")
@click.argument("items", nargs=-1, required=True)
def remove_items(name: str, items: tuple[str, ...]) -> None:
    """Remove ITEMS from the index NAME, by their names."""
    with _plain_errors(), closing(_opened(load_config(), name)) as store:
        there = removed(store, items, _WAIT_S)
        missing = [item for item, was in zip(items, there, strict=True) if not was]
        click.echo(f"removed {sum(there)} of {len(items)}; index {name!r} has {store.summary().items:,} items")
        if missing:
            raise InvalidArgument(f"not in the index: {missing[:_SHOWN]}")


@index.command()
@click.argument("name")
def info(name: str) -> None:
    """Describe the index NAME."""
    with _plain_errors(), closing(_opened(load_config(), name)) as store:
        described, state = store.description, store.summary()
        click.echo(f"{described.name}: {state.items:,} of at most {described.max_items:,} items")
        click.echo(f"  model      {described.model}/{described.version}, graph sha256 {described.sha256}")
        click.echo(f"  metric     {described.metric}, {described.dimension} numbers")
        click.echo(f"  thumbnail  {described.thumbnail or 'none'}" + (" pixels" if described.thumbnail else ""))
        click.echo(f"  complete   {'yes' if state.complete else 'no: run the same build again'}")


def _run(work: Callable[[Config], Coroutine[Any, Any, None]]) -> None:
    with _plain_errors():
        asyncio.run(work(load_config()))


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except LectoriumError as error:
        raise click.ClickException(str(error)) from error


def _engine(config: Config, model: str) -> "Engine":
    from service.engine import Engine

    changes = {"model_control": "explicit", "load_models": (model,), "on_load_failure": "refuse"}
    return Engine(config.model_copy(update=changes))


def _model(engine: "Engine", name: str, version: str) -> "Model":
    from service.tasks.embed import Embed
    from service.tasks.selection import Selection

    return Selection(engine, Embed.serves, Embed.does, "")(name, version)


def _opened(config: Config, name: str) -> Store:
    return Store(config.indexes / checked_index_name(name))


def _description(model: "Model", name: str, metric: Any, max_items: int | None, thumbnail: int) -> Description:
    from service.tasks.feature_vectors import embedding_of
    from service.tasks.index_work import graph_sha256

    dimension = embedding_of(model.package.classifier).dimension
    most = MAX_NUMBERS // dimension
    if max_items is not None and max_items > most:
        raise InvalidArgument(
            f"--max-items is {max_items}; with {model} and its {dimension} numbers it may be 1 to {most}"
        )
    return Description(
        name=name,
        model=model.name,
        version=model.version,
        sha256=graph_sha256(model),
        metric=metric,
        dimension=dimension,
        max_items=max_items or min(100_000, most),
        thumbnail=thumbnail,
    )


def _created(folder: Path, described: Description) -> Store:
    """A new index, or the one whose construction was interrupted."""
    try:
        return Store.create(folder, described)
    except FileExistsError:
        store = Store(folder)
    try:
        if store.summary().complete:
            raise InvalidIndex(f"index {store.name!r} is there already; 'lectorium index add' adds images to it")
        if store.description != described:
            raise InvalidIndex(
                f"index {store.name!r} was begun with other options: {store.description.model_dump()}; go on with "
                "them, or delete its folder"
            )
    except BaseException:
        store.close()
        raise
    return store


async def _filled(
    engine: "Engine", store: Store, paths: Sequence[Path], config: Config, *, replace: bool = False
) -> None:
    from service.tasks.index_building import BATCH, IndexBuilder, files_in
    from service.tasks.index_work import check_model

    model = _model(engine, store.description.model, store.description.version)
    check_model(store.description, model)
    files = files_in(paths, store.description.max_items)
    new = files if replace else [file for file in files if not store.has(file.name)]
    if len(new) < len(files):
        click.echo(f"{len(files) - len(new):,} of {len(files):,} are in the index already")
    builder, added, skipped = IndexBuilder(engine, model, store, config), 0, 0
    for first in range(0, len(new), BATCH):
        done = await builder.add(new[first : first + BATCH])
        for each in done.skipped[: max(0, _SHOWN - skipped)]:
            click.echo(f"skipped {ascii(each.name)[1:-1]}: {each.why}")
        skipped += len(done.skipped)
        if (added + done.added) // _TOLD > added // _TOLD:
            click.echo(f"{added + done.added:,} added")
        added += done.added
    click.echo(f"added {added:,}, skipped {skipped:,}; index {store.name!r} has {store.summary().items:,} items")


def _end(store: Store, threshold: float | None) -> None:
    thresholds = None
    if not store.summary().items:
        raise InvalidIndex(f"index {store.name!r} has no image; it stays incomplete")
    if store.description.metric == "hamming":
        thresholds = mean(store) if threshold is None else np.full(store.description.dimension, threshold, "f4")
    completed(store, thresholds, _WAIT_S)
