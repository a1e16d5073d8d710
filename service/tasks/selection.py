"""Selects the model for a request for a task."""

from collections.abc import Callable

from service.engine import Engine, Model
from service.errors import InvalidArgument, UnknownModel
from service.package import Card

_LISTED = 20


class Selection:
    """The served models of one task.

    Args:
        engine: has the served models.
        serves: whether the model with a card can do the task.
        does: what the task's models do, as a verb.
        default: the name of the model that answers a request that names none. If it is "", that is the task's only
            model, or the one whose card has ``serving.default``.
        unnamed: whether the model with a card may be that one; None if any can that serves.
    """

    def __init__(
        self,
        engine: Engine,
        serves: Callable[[Card], bool],
        does: str,
        default: str,
        unnamed: Callable[[Card], bool] | None = None,
    ) -> None:
        self._engine = engine
        self._serves = serves
        self._does = does
        self._default = default
        self._unnamed_too = unnamed or serves

    def __call__(self, name: str, version: str) -> Model:
        """The model of that name, or the default model if it is ""; in its highest version if ``version`` is "".

        Raises:
            UnknownModel: there is no such model or version, or it cannot do the task; or ``name`` is "" and no model
                can.
            InvalidArgument: ``name`` is "" and several models could be meant.
        """
        return self._named(name, version) if name else self._unnamed(version)

    @property
    def served(self) -> dict[str, Model]:
        """The served models of the task in their highest versions, by name."""
        return {model.name: model for model in self._engine.repository if self._serves(model.card)}

    def _named(self, name: str, version: str) -> Model:
        model = self._engine.repository.get(name, version)
        if not self._serves(model.card):
            others = f"; these do: {list(self.served)[:_LISTED]}" if self.served else "; no served model does"
            raise UnknownModel(f"model {model.name!r} does not {self._does}{others}")
        return model

    def _unnamed(self, version: str) -> Model:
        name = self._default or self._chosen()
        try:
            return self._named(name, version)
        except UnknownModel as error:
            raise UnknownModel(f"no model named in the request, and the default cannot answer: {error}") from error

    def _chosen(self) -> str:
        served = {name: model for name, model in self.served.items() if self._unnamed_too(model.card)}
        if not served:
            raise UnknownModel(f"no model named in the request, and no served model can {self._does}")
        defaults = [name for name, model in served.items() if model.card.serving.default]
        if len(defaults) > 1:
            raise InvalidArgument(
                f"no model named in the request; name one, because several that {self._does} have serving.default: "
                f"{defaults[:_LISTED]}"
            )
        names = defaults or list(served)
        if len(names) > 1:
            raise InvalidArgument(f"no model named in the request; name one of {names[:_LISTED]}, which {self._does}")
        return names[0]
