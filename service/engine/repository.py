"""The repository: the models that are served, by name and version, and the state of all others."""

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
    """One version in the index; ``reason`` says why it is not served, or why its latest files are not."""

    name: str
    version: str
    state: State
    reason: str


class Repository:
    """Every model that is served. The highest version answers if a request names none. It belongs to the event loop."""

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
        """The policy that chose the served versions of one model."""
        self._versions(name)
        return self._policies[name]

    def get(self, name: str, version: str | None = None) -> Model:
        """The model; in its highest version if ``version`` is None or empty.

        Raises:
            UnknownModel: no such model or version is served. The message has similar names.
        """
        versions = self._versions(name)
        if not version:
            return versions[next(reversed(versions))]
        if version not in versions:
            raise UnknownModel(f"model {name!r} has no version {version[:80]!r}; it has {listed(versions)}")
        return versions[version]

    def select(self, name: str | None = None, version: str | None = None) -> list[Model]:
        """One version of a model; all its versions if none is named; all models if none is named.

        Raises:
            UnknownModel: as `get`.
        """
        if not name:
            return list(self)
        return [self.get(name, version)] if version else list(self._versions(name).values())

    @contextmanager
    def loading(self, name: str) -> Iterator[None]:
        """The model is LOADING in the index during this block."""
        self._loading.add(name)
        try:
            yield
        finally:
            self._loading.discard(name)

    def reason(self, name: str) -> str:
        """Why the last load of the model failed; "" if it did not."""
        return self._reasons.get(name, "")

    def failed(self, name: str, reason: str) -> None:
        """Record that a load of the model failed; the versions that were served before still are."""
        self._reasons[name] = reason

    def swap(self, name: str, models: Sequence[Model], policy: VersionPolicy) -> list[Model]:
        """Serve these versions of the model, in ascending order, and no others; return those that leave."""
        gone = [model for model in self._models.get(name, {}).values() if model not in models]
        self._models = dict(sorted({**self._models, name: {model.version: model for model in models}}.items()))
        self._policies[name] = policy
        return self._left(name, gone)

    def remove(self, name: str) -> list[Model]:
        """Stop serving the model; return the versions that leave."""
        self._policies.pop(name, None)
        return self._left(name, list(self._models.pop(name, {}).values()))

    def index(
        self, found: Mapping[str, Iterable[int]], misplaced: Mapping[str, str] = MappingProxyType({})
    ) -> list[Row]:
        """The state of every version that is known, sorted by name and version.

        Args:
            found: the versions in the repository's folder, by model.
            misplaced: why a folder that seems to hold a model is none, by name.
        """
        models = [model for left in self._leaving if (model := left()) is not None]
        self._leaving = {weakref.ref(model) for model in models}
        leaving = {(model.name, model.version) for model in models}
        known = {(model.name, model.version) for model in self} | leaving
        known |= {(name, str(version)) for name, versions in found.items() for version in versions}
        names = {name for name, _ in known}
        # A model that is loaded from a request's files, or is missing since the start, has no version yet.
        known |= {(name, "") for name in self._loading | self._reasons.keys() if name not in names}
        rows = [self._row(*key, key in leaving) for key in known]
        have = {row.name for row in rows}
        rows += [Row(name, "", "UNAVAILABLE", reason) for name, reason in misplaced.items() if name not in have]
        return sorted(rows, key=lambda row: (row.name, int(row.version or 0)))

    def holds(self, name: str, version: str) -> bool:
        """Whether that version is served, or was and still has requests inside."""
        leaving = (model for left in self._leaving if (model := left()) is not None)
        return version in self._models.get(name, ()) or any((m.name, m.version) == (name, version) for m in leaving)

    def _row(self, name: str, version: str, leaving: bool) -> Row:
        reason = self._reasons.get(name, "")
        if version in self._models.get(name, ()):
            return Row(name, version, "READY", reason)
        if name in self._loading:
            return Row(name, version, "LOADING", "")
        if leaving:
            return Row(name, version, "UNLOADING", "requests from before it was unloaded are still in progress")
        default = "not among the versions that were loaded" if name in self._models else "not loaded"
        return Row(name, version, "UNAVAILABLE", reason or default)

    def _left(self, name: str, models: list[Model]) -> list[Model]:
        """Note that these models are leaving, for as long as anything refers to them; return them."""
        self._reasons.pop(name, None)
        self._leaving |= {weakref.ref(model) for model in models}
        return models

    def _versions(self, name: str) -> dict[str, Model]:
        if name not in self._models:
            raise UnknownModel(f"no model {name[:80]!r}{did_you_mean(name, self.names)}")
        return self._models[name]
