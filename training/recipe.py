"""Recipes: everything that decides how a model is trained, as a small typed file (TOML)."""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from service.package import Name
from training.augmentation import Augmentation
from training.data import Fold
from training.data.folder import FolderSource
from training.errors import RecipeError
from training.loss import Loss
from training.noise import Noise
from training.optimiser import Optimiser
from training.penalty import Penalty
from training.schedule import Schedule
from training.stopping import EarlyStopping
from training.table import Count, Fraction, NonNegative, Table
from training.transfer import Transfer

FOLDER = Path(__file__).parent / "recipes"
FOLDER_VALIDATION = 0.15  # of the examples in a user's folder


class Gate(Table):
    """What the package must reach on the test split, through the serving engine, to be exported at all."""

    accuracy: Annotated[float, Field(ge=0, le=1)]


class Clipping(Table):
    """Bounds a step's gradient: each of its values, or its norm as a vector, is at most ``at`` (0: no bound)."""

    by: Literal["norm", "value"] = "norm"
    at: NonNegative = 0.0


class Recipe(Table):
    """One training run. ``name`` is also the package's; ``config`` replaces values of the model's row.

    ``dataset`` is a published one's name, or a folder of images by class, of which ``classes`` (if any) and so many
    ``examples`` (if said) are trained on; ``validation`` is the number of training examples held out, or their
    share; ``fold`` and ``bootstrap`` hold out others. ``batch_size`` examples make a batch, or all of them, ``full``.
    ``ema`` is the decay per step of an average of the weights, which is then what is validated and exported (0: the
    last weights themselves). ``keep`` says which epoch's weights are exported: the last, or the best by the metric
    that early stopping looks at. A model without weights to train, such as nearest neighbours, has 0 ``epochs``.
    With ``temperature``, the export calibrates the probabilities on the validation split (Guo et al. 2017).
    """

    name: Name
    model: str
    config: dict[str, Any] = Field(default_factory=dict)
    dataset: str
    classes: tuple[str, ...] = ()
    examples: Count | None = None
    validation: Count | Annotated[float, Field(gt=0, lt=1)] = 5_000
    fold: Fold | None = None
    bootstrap: bool = False
    epochs: Annotated[int, Field(ge=0)]
    batch_size: Count | Literal["full"] = 128
    optimiser: Optimiser = Optimiser(name="adamw", learning_rate=1e-3)
    schedule: Schedule = Schedule()
    clipping: Clipping = Clipping()
    augmentation: Augmentation = Augmentation()
    noise: Noise = Noise()
    loss: Loss = Loss()
    penalty: Penalty = Penalty()
    transfer: Transfer | None = None
    early_stopping: EarlyStopping = EarlyStopping()
    keep: Literal["last", "best"] = "last"
    ema: Fraction = 0.0
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    temperature: bool = False
    gate: Gate | None = None

    @model_validator(mode="after")
    def _check_full_batch(self) -> Self:
        if not self.optimiser.full_batch:
            return self
        slow = self.transfer is not None and self.transfer.mode == "slow"
        wanted = {
            'batch_size = "full"': self.batch_size == "full",
            'precision = "32-true"': self.precision == "32-true",
            "no clipping": not self.clipping.at,
            "no slow transfer": not slow,
        }
        for words, given in wanted.items():
            if not given:
                raise ValueError(f"{self.optimiser.name} looks at all examples at each step; wanted {words}")
        return self


def shipped() -> Iterator[Recipe]:
    """The recipes of this project, by name."""
    for path in sorted(FOLDER.glob("*.toml")):
        yield load_recipe(path.stem)


def load_recipe(name: str, changes: Iterable[str] = (), folder: Path | None = None) -> Recipe:
    """The recipe in the file ``name``, or the shipped one of that name, changed as in ``gate.accuracy=0.9``.

    Its data set may be replaced by that of the images in ``folder``, after which it is then named. What is said of the
    number of examples and of the accuracy to reach held for the other set, and is dropped.

    Raises:
        RecipeError: no such recipe, or naming each unknown key and each value of the wrong kind.
        DataError: the folder holds no images by class.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise RecipeError(f"no recipe {name!r}; give a .toml file or one of {shipped}")
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: {error}") from error
    if folder is not None:
        values = {key: value for key, value in values.items() if key not in ("gate", "classes", "examples")}
        name = FolderSource(folder, (1, 1, 1)).name
        values |= {"dataset": str(folder), "name": name, "validation": FOLDER_VALIDATION}
    for change in changes:
        apply(values, change)
    return parse_recipe(values, str(path))


def parse_recipe(values: dict[str, Any], origin: str) -> Recipe:
    """The recipe that ``values`` describe.

    Raises:
        RecipeError: naming ``origin`` and each key that is unknown, missing or of the wrong kind.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise RecipeError(f"{origin}: {problems}") from error


def apply(values: dict[str, Any], change: str) -> None:
    """Make one ``change``, ``key.key=value``, in a recipe's ``values``; its value is TOML, and plain text where not.

    Raises:
        RecipeError: it is not written so.
    """
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise RecipeError(f"{change!r}: a change is written key=value")
    *tables, last = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise RecipeError(f"{change!r}: {table!r} is a value, not a table")
    try:
        values[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = text
