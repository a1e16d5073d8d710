"""What a load request changes in the packages that it loads."""

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


def _accept_all(_: Model, __: VersionPolicy) -> None:
    """Accept every model."""


@dataclass(frozen=True)
class Override:
    """Every attribute has a default that changes nothing.

    Attributes:
        version_policy: used instead of the card's or the server's.
        max_batch: the most rows of a run, for all versions; at most the card's.
        dynamic_batching: used instead of the card's.
        files: their content by version and plain file name, used instead of the model's folder.
        accept: called with each loaded model and the policy; raises a LectoriumError to refuse them.
    """

    version_policy: VersionPolicy | None = None
    max_batch: int | None = None
    dynamic_batching: DynamicBatching | None = None
    files: Mapping[int, Mapping[str, bytes]] = field(default_factory=dict)
    accept: Callable[[Model, VersionPolicy], None] = _accept_all

    @contextmanager
    def repository(self, folder: Path, name: str) -> Iterator[Path]:
        """The folder to load from: ``folder``, or a private one with the files, which is removed on exit.

        ``name`` must be a valid model name, because it becomes a path.
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
        """The package with the changed card.

        Raises:
            InvalidArgument: ``max_batch`` is not 1 to the card's.
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
        raise InvalidArgument(f"max_batch_size is {rows}; model {card.name!r} allows 1 to {program.max_batch}")
    changes: dict[str, Any] = {"max_batch": rows}
    if isinstance(program, Loop):
        return card.model_copy(
            update={"loop": program.model_copy(update={"step": program.step.model_copy(update=changes)})}
        )
    return card.model_copy(update={"graph": program.model_copy(update=changes)})


NO_OVERRIDE = Override()
