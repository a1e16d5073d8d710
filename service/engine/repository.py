"""The repository: what is served, by name and version, and what may be said of the rest."""

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Literal, NamedTuple

from service.engine.model import Model
from service.errors import UnknownModel
from service.nearest import did_you_mean, listed
from service.package.serving import VersionPolicy

State = Literal["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]


class Row(NamedTuple):
    """One version in the index; ``reason`` says why it is not served, or not as its files are now."""

    name: str
    version: str
    state: State
    reason: str


class Repository:
    """Every model that is served; the highest version answers where none is named. It belongs to the event loop."""

    def __init__(self) -> None:
        self._models: dict[str, dict[str, Model]] = {}
        self._policies: dict[str, VersionPolicy] = {}
        self._leaving: set[weakref.ref[Model]] = set()
        self._loading: set[str] = set()
        self._reasons: dict[str, str] = {}

    def __iter__(self) -> Iterator[Model]:
        for versions in self._models.values():
            yield from versions.values()

    @property
    def names(self) -> list[str]:
        """The names of the models that are served."""
        return list(self._models)

    def versions(self, name: str) -> list[str]:
        """The versions of one model that are served, oldest first."""
        return list(self._versions(name))

    def policy(self, name: str) -> VersionPolicy:
        """What chose the versions of one model that are served."""
        self._versions(name)
        return self._policies[name]

    def get(self, name: str, version: str | None = None) -> Model:
        """The model, in its highest version where ``version`` is None or empty.

        Raises:
            UnknownModel: naming the nearest there are.
        """
        versions = self._versions(name)
        if not version:
            return versions[next(reversed(versions))]
        if version not in versions:
            raise UnknownModel(f"model {name!r} has no version {version[:80]!r}; it has {listed(versions)}")
        return versions[version]

    def select(self, name: str | None = None, version: str | None = None) -> list[Model]:
        """One version of a model, all its versions where none is named, all models where none is.

        Raises:
            UnknownModel: naming the nearest there are.
        """
        if not name:
            return list(self)
        return [self.get(name, version)] if version else list(self._versions(name).values())

    @contextmanager
    def loading(self, name: str) -> Iterator[None]:
        """While the model is read and warmed."""
        self._loading.add(name)
        try:
            yield
        finally:
            self._loading.discard(name)

    def reason(self, name: str) -> str:
        """Why the last load of the model failed; empty where it did not."""
        return self._reasons.get(name, "")

    def failed(self, name: str, reason: str) -> None:
        """A load of the model has failed; versions that were served before it stay."""
        self._reasons[name] = reason

    def swap(self, name: str, models: Sequence[Model], policy: VersionPolicy) -> list[Model]:
        """Serve these versions of the model, ascending, and no others of it; those that go are returned."""
        gone = [model for model in self._models.get(name, {}).values() if model not in models]
        self._models = dict(sorted({**self._models, name: {model.version: model for model in models}}.items()))
        self._policies[name] = policy
        return self._left(name, gone)

    def remove(self, name: str) -> list[Model]:
        """Serve the model no more; the versions that go are returned."""
        self._policies.pop(name, None)
        return self._left(name, list(self._models.pop(name, {}).values()))

    def index(
        self, found: Mapping[str, Iterable[int]], misplaced: Mapping[str, str] = MappingProxyType({})
    ) -> list[Row]:
        """A row for each version that is served or leaves, and for each of those ``found`` in the folder.

        And one for each of the ``misplaced``, folders that hold a model in no version; which are they, and why.
        """
        models = [model for left in self._leaving if (model := left()) is not None]
        self._leaving = {weakref.ref(model) for model in models}
        leaving = {(model.name, model.version) for model in models}
        known = {(model.name, model.version) for model in self} | leaving
        known |= {(name, str(version)) for name, versions in found.items() for version in versions}
        names = {name for name, _ in known}
        # What is loaded from a request's files, or was wanted at the start and is not there, has no version yet.
        known |= {(name, "") for name in self._loading | self._reasons.keys() if name not in names}
        rows = [self._row(*key, key in leaving) for key in known]
        have = {row.name for row in rows}
        rows += [Row(name, "", "UNAVAILABLE", reason) for name, reason in misplaced.items() if name not in have]
        return sorted(rows, key=lambda row: (row.name, int(row.version or 0)))

    def holds(self, name: str, version: str) -> bool:
        """Whether that version is served, or requests are still inside one that was."""
        leaving = (model for left in self._leaving if (model := left()) is not None)
        return version in self._models.get(name, ()) or any((m.name, m.version) == (name, version) for m in leaving)

    def _row(self, name: str, version: str, leaving: bool) -> Row:
        reason = self._reasons.get(name, "")
        if version in self._models.get(name, ()):
            return Row(name, version, "READY", reason)
        if name in self._loading:
            return Row(name, version, "LOADING", "")
        if leaving:
            return Row(name, version, "UNLOADING", "requests that came before are still inside")
        idle = "not among the versions that were loaded" if name in self._models else "not loaded"
        return Row(name, version, "UNAVAILABLE", reason or idle)

    def _left(self, name: str, models: list[Model]) -> list[Model]:
        """The models, known to be leaving for as long as anything holds them."""
        self._reasons.pop(name, None)
        self._leaving |= {weakref.ref(model) for model in models}
        return models

    def _versions(self, name: str) -> dict[str, Model]:
        if name not in self._models:
            raise UnknownModel(f"no model {name[:80]!r}{did_you_mean(name, self.names)}")
        return self._models[name]
