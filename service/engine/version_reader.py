"""Reads the versions of one model from its folder: chooses those to serve, verifies and loads them."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from service.config import Config
from service.engine import scan
from service.engine.memory import give_back
from service.engine.model import Load, Model
from service.engine.onnx_graph import OpenGraph
from service.engine.override import Override
from service.engine.signature import read_signature
from service.errors import InvalidPackage, LectoriumError, UnknownModel
from service.package import CARD, read_package
from service.package.bare import GRAPH, bare_package
from service.package.files import check_folder
from service.package.folder import read_card
from service.package.serving import VersionPolicy

_MAX_REASON = 1000


class Versions(NamedTuple):
    """The versions of one model that are to be served, in ascending order, and the policy that chose them."""

    models: list[Model]
    policy: VersionPolicy


class VersionReader:
    """Reads a model's versions; it may be called on any thread.

    Args:
        config: has the version policy, and the batch size of graphs without a card.
        open_graph: opens the graph of a package without a card, to read its tensors.
        load: makes a session.
    """

    def __init__(self, config: Config, open_graph: OpenGraph, load: Load) -> None:
        self._config = config
        self._open_graph = open_graph
        self._load = load

    def read(self, folder: Path, name: str, override: Override, kept: Mapping[int, Model]) -> Versions:
        """The versions to serve of the model in ``folder``: those in ``kept`` as they are, the others loaded and warm.

        Raises:
            UnknownModel: there is no such model.
            InvalidPackage: a version may not be served.
            InvalidArgument: the override asks for what a card does not allow.
        """
        failure: LectoriumError
        try:
            return self._read(folder, name, override, kept)
        except OSError as error:  # its files are being copied or removed
            failure = InvalidPackage(f"{name}: {error.strerror}")
        except LectoriumError as error:
            # A caller knows the repository's folders by their names only.
            failure = type(error)(scan.printable(str(error)).replace(f"{folder}{os.sep}", "")[:_MAX_REASON])
        # Raised outside the handlers: its traceback then has no frame that holds versions which were already loaded.
        give_back()
        raise failure

    def _read(self, folder: Path, name: str, override: Override, kept: Mapping[int, Model]) -> Versions:
        paths = scan.versions(folder, name)
        if not paths:
            reason = scan.misplaced(folder, name).get(name, "")
            raise UnknownModel(reason) if reason else unknown_model(name)
        policy = override.version_policy or _card_policy(paths[max(paths)]) or self._config.version_policy
        chosen = policy.choose(list(paths))
        if not chosen:
            raise InvalidPackage(f"{name}: version policy {policy} chooses none of {list(paths)}")
        models = [kept.get(version) or self._model(paths[version], override) for version in chosen]
        for model in models:
            override.accept(model, policy)
        return Versions(models, policy)

    def _model(self, folder: Path, override: Override) -> Model:
        if not _is_bare(folder):
            return Model(override.applied(read_package(folder)), self._load)
        check_folder(folder)
        path = folder / GRAPH
        opened = self._open_graph(path)
        package = bare_package(folder, read_signature(path, opened), self._config.default_max_batch)
        return Model(override.applied(package), partial(self._load, opened=opened))


def unknown_model(name: str) -> UnknownModel:
    """The error for a model that is neither served nor in the repository."""
    return UnknownModel(f"no model {name[:80]!r} in the repository")


def _is_bare(folder: Path) -> bool:
    return os.path.lexists(folder / GRAPH) and not os.path.lexists(folder / CARD)


def _card_policy(folder: Path) -> VersionPolicy | None:
    return None if _is_bare(folder) else read_card(folder / CARD).serving.version_policy
