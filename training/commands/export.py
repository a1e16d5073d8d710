"""`lectorium export`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import click

from service.config import load_config
from service.package import CARD
from training.commands.frame import FOLDER, ZOO, plain_errors

if TYPE_CHECKING:
    from service.package import Package
    from training.classification.subject import Subject
    from training.export.how import How
    from training.task import Task

FILE = click.Path(path_type=Path, dir_okay=False)


class FromFile(TypedDict):
    """The options for weights that were not trained by a run."""

    model: str | None
    weights: Path | None
    labels: Path | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    data: str | None
    config: tuple[str, ...]
    unmeasured: bool


def _numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    try:
        return None if value is None else tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 0.485,0.456,0.406") from None


@click.command()
@click.argument("runs", nargs=-1, type=FOLDER, metavar="[RUN]...")
@click.option("--name", help="The package's name. [default: the run's]")
@click.option("--weights-as", type=click.Choice(["float16", "float32"]), help="Type on disk. [default: float16]")
@click.option("--int8", is_flag=True, help="Quantise to 8 bits, calibrated on training images, as <name>-int8.")
@click.option(
    "--temperature/--no-temperature",
    default=None,
    help="Calibrate the probabilities on the validation split, if that helps. [default: as the recipe says]",
)
@click.option(
    "--deconv/--no-deconv",
    default=None,
    help="Add the graph for explain=deconv. [default: yes; for a package, if it has one]",
)
@click.option("--model", help="Instead of a RUN: the architecture of --weights, such as resnet50.")
@click.option("--weights", type=FILE, help="A checkpoint with torchvision's names or near ones; no code in it is run.")
@click.option(
    "--config",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the architecture of --weights, such as shortcut=zero_padding_both_sides.",
)
@click.option("--labels", type=FILE, help="The names of the classes of --weights, one per line.")
@click.option("--mean", callback=_numbers, help="The pixel means, in 0..1, for --weights. [default: as published]")
@click.option("--std", callback=_numbers, help="The pixel deviations, in 0..1, for --weights. [default: as published]")
@click.option("--data", help="Measure --weights on this: a folder of images by class, or a published set's name.")
@click.option("--unmeasured", is_flag=True, help="Export --weights without figures, because there are no images.")
@click.option("--repository", type=FOLDER, default=ZOO, show_default=True, help="Where packages live.")
@click.option("--version", type=click.IntRange(1), help="[default: the next free one]")
@click.option("--default", is_flag=True, help="Make it the model for requests of its task that name none.")
@click.option("--replace", is_flag=True, help="Replace the version if it exists.")
def export(
    runs: tuple[Path, ...],
    name: str | None,
    weights_as: Literal["float16", "float32"] | None,
    int8: bool,
    temperature: bool | None,
    deconv: bool | None,
    repository: Path,
    version: int | None,
    default: bool,
    replace: bool,
    **from_file: Unpack[FromFile],
) -> None:
    """Write the package of a finished RUN, of several as one ensemble, or of a file of weights.

    A RUN may also be the folder of a classifier's package, such as models/zoo/lenet5/1: its weights are exported again,
    by default as its next version, so that the package gets what newer exports have.

    The export fails if the graph's answers differ from torch's or the package misses its gate on the validation split.
    The test split is measured once, with 95 % confidence intervals, and decides nothing.
    """
    if int8 and weights_as:
        raise click.UsageError("--int8 and --weights-as exclude each other: both say how weights are stored")
    if bool(runs) == bool(_given(from_file)):
        raise click.UsageError("give one or more RUNs, or --model, --weights and --labels, but not both")
    with plain_errors():
        from training.export.how import How

        how = How("int8" if int8 else weights_as or "float16", temperature, deconv)
        files = load_config().data
        if runs:
            task = _task(runs)
            _check(task, how, runs)
            package = task.export(runs, repository, files, how=how, name=name, version=version, replace=replace)
        else:
            from training.classification.package import write_package

            package = write_package(_from_file(name, from_file), repository, how=how, version=version, replace=replace)
        _report(package, default)


def _task(runs: Sequence[Path]) -> "Task[Any]":
    """The task of the first of ``runs``, which may also be the folder of a package."""
    from service.package.folder import read_card
    from training.checkpoint import read_checkpoint
    from training.errors import ExportError
    from training.tasks import TASKS

    first = runs[0]
    if not (first / CARD).is_file():
        return TASKS[read_checkpoint(first).recipe.task]
    name = read_card(first / CARD).task
    if name in TASKS and TASKS[name].exports_again:
        return TASKS[name]
    whose = " or ".join(task.whose for task in TASKS.values() if task.exports_again)
    raise ExportError(f"{first}: its task is {name!r}; only {whose} package can be exported again")


def _check(task: "Task[Any]", how: "How", runs: Sequence[Path]) -> None:
    """Raise UsageError unless ``runs`` of the ``task`` can be exported so."""
    if how.asked <= task.asks and (len(runs) == 1 or task.joins):
        return
    without = [f"--{option}" for option in ("temperature", "deconv") if option not in task.asks]
    words = {
        "alone": not task.joins,
        "its weights as float16": "weights" not in task.asks,
        f"without {' or '.join(without)}": bool(without),
    }
    said = ", ".join(word for word, there in words.items() if there)
    raise click.UsageError(f"a run of the task {task.name!r} is exported {said}")


def _given(from_file: FromFile) -> list[str]:
    return [f"--{key}" for key, value in from_file.items() if value not in (None, (), False)]


def _from_file(name: str | None, from_file: FromFile) -> "Subject":
    from training.classification.weights_file import Weights, from_weights, read_labels
    from training.recipe import apply

    model, file, labels = from_file["model"], from_file["weights"], from_file["labels"]
    if not (model and file and labels and name):
        raise click.UsageError("weights from a file need --model, --weights, --labels and --name")
    if from_file["data"] and from_file["unmeasured"]:
        raise click.UsageError("--data and --unmeasured exclude each other")
    config: dict[str, Any] = {}
    for change in from_file["config"]:
        apply(config, change)
    weights = Weights(model, file, read_labels(labels), name, from_file["mean"], from_file["std"], config)
    return from_weights(weights, from_file["data"], load_config().data, unmeasured=from_file["unmeasured"])


def _report(package: "Package", default: bool) -> None:
    from training.packages import make_default, size

    package = make_default(package) if default else package
    said = package.card.provenance
    assert said is not None  # every exported package has one
    for split, metrics in {"validation": said.validation, "test": said.metrics}.items():
        if metrics:
            intervals = said.intervals if split == "test" else {}
            words = ", ".join(_measured(name, value, intervals.get(name)) for name, value in metrics.items())
            click.echo(f"{package.folder}: {split} {words}, through the serving engine")
    if not said.metrics:
        click.echo(
            f"{package.folder}: not measured; `lectorium evaluate {package.card.name} --data FOLDER` measures it"
        )
    click.echo(
        f"{size(package):,} bytes, {said.parameters:,} parameters as {said.weights}, {said.macs:,} MACs, "
        f"parity {max(said.parity.values()):.1e}"
    )


def _measured(name: str, value: float, interval: tuple[float, float] | None) -> str:
    """A metric in words, with its 95 % confidence ``interval``."""
    return f"{name} {value:.4f}" + (f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else "")
