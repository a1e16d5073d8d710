"""What a load request changes of the packages it loads."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.engine.model import Model
from service.errors import InvalidArgument
from service.package import Card, Loop, Package
from service.package.serving import DynamicBatching, VersionPolicy


def _anything(_: Model, __: VersionPolicy) -> None:
    """Accept."""


@dataclass(frozen=True)
class Override:
    """Nothing, unless it says so.

    Attributes:
        version_policy: instead of the card's, or the server's.
        max_batch: most rows of a run, of all versions; the card's at most.
        dynamic_batching: instead of the card's.
        files: by version and plain file name, instead of the model's folder.
        accept: raises a LectoriumError where the model that was loaded is not the one that is wanted.
    """

    version_policy: VersionPolicy | None = None
    max_batch: int | None = None
    dynamic_batching: DynamicBatching | None = None
    files: Mapping[int, Mapping[str, bytes]] = field(default_factory=dict)
    accept: Callable[[Model, VersionPolicy], None] = _anything

    @contextmanager
    def repository(self, folder: Path, name: str) -> Iterator[Path]:
        """The folder to load from: ``folder``, or a private one with the files, which is removed at the end.

        ``name`` is known to be one that a model may have.
        """
        if not self.files:
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="lectorium-") as private:
            for version, files in self.files.items():
                version_folder = Path(private, name, str(version))
                version_folder.mkdir(parents=True)
                for file, content in files.items():
                    (version_folder / file).write_bytes(content)
            yield Path(private)

    def applied(self, package: Package) -> Package:
        """The package with its card changed.

        Raises:
            InvalidArgument: a run would hold more rows than the card allows, or none.
        """
        card, serving = package.card, package.card.serving
        if self.dynamic_batching is not None:
            card = card.model_copy(
                update={"serving": serving.model_copy(update={"dynamic_batching": self.dynamic_batching})}
            )
        if self.max_batch is not None:
            card = _with_max_batch(card, self.max_batch)
        return package if card is package.card else Package(package.folder, card)


def _with_max_batch(card: Card, rows: int) -> Card:
    program = card.program
    if not 1 <= rows <= program.max_batch:
        raise InvalidArgument(
            f"model {card.name!r}: max_batch_size {rows} came; its own is {program.max_batch}, at most"
        )
    less: dict[str, Any] = {"max_batch": rows}
    if isinstance(program, Loop):
        return card.model_copy(
            update={"loop": program.model_copy(update={"step": program.step.model_copy(update=less)})}
        )
    return card.model_copy(update={"graph": program.model_copy(update=less)})


NO_OVERRIDE = Override()
