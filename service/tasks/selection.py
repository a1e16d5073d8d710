"""Which served model a request for a task is for."""

from collections.abc import Callable

from service.engine import Engine, Model
from service.errors import InvalidArgument, UnknownModel
from service.package import Card

_LISTED = 20


class Selection:
    """The served models of one task.

    Args:
        engine: serves them.
        serves: whether a model can do the task, by its card.
        does: what the task's models do, as a verb.
        default: the model that answers where a request names none; "" for the only one of the task, or the one whose
            card says that it is the default.
    """

    def __init__(self, engine: Engine, serves: Callable[[Card], bool], does: str, default: str) -> None:
        self._engine = engine
        self._serves = serves
        self._does = does
        self._default = default

    def __call__(self, name: str, version: str) -> Model:
        """The model of that name, the default where it is ""; in its highest version where ``version`` is "".

        Raises:
            UnknownModel: no such model or version, or it cannot do the task; or none was named, and there is none.
            InvalidArgument: none was named, and several could be meant.
        """
        return self._named(name, version) if name else self._unnamed(version)

    @property
    def served(self) -> dict[str, Model]:
        """The models of the task that are served, by name, in their highest versions."""
        return {model.name: model for model in self._engine.repository if self._serves(model.card)}

    def _named(self, name: str, version: str) -> Model:
        model = self._engine.repository.get(name, version)
        if not self._serves(model.card):
            others = f"; these do: {list(self.served)[:_LISTED]}" if self.served else ", and none that is served does"
            raise UnknownModel(f"model {model.name!r} does not {self._does}{others}")
        return model

    def _unnamed(self, version: str) -> Model:
        name = self._default or self._chosen()
        try:
            return self._named(name, version)
        except UnknownModel as error:
            raise UnknownModel(f"no model named in the request, and the default cannot answer: {error}") from error

    def _chosen(self) -> str:
        served = self.served
        if not served:
            raise UnknownModel(f"no model named in the request, and none that is served can {self._does}")
        defaults = [name for name, model in served.items() if model.card.serving.default]
        if len(defaults) > 1:
            raise InvalidArgument(
                f"no model named in the request; name one, for the cards of several that {self._does} have "
                f"serving.default: {defaults[:_LISTED]}"
            )
        names = defaults or list(served)
        if len(names) > 1:
            raise InvalidArgument(f"no model named in the request; name one of {names[:_LISTED]}, which {self._does}")
        return names[0]
