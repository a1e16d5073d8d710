"""A request that beam search answers: its hypotheses are its rows."""

from collections.abc import Mapping

from service.engine.beam import Beam
from service.engine.chooser import Chooser
from service.engine.sampling import Array
from service.engine.tenancy import Answers, Stepped, Tenancy, Tenant
from service.engine.tensors import Tensor, Tensors


class Searching(Tenancy):
    """Nothing is emitted on the way; at the end the best hypotheses are, step after step, each a row."""

    def __init__(self, tenant: Tenant, chooser: Chooser) -> None:
        super().__init__(tenant)
        assert tenant.choosing is not None  # the loop's has a choice
        self._chooser = chooser
        self._beam = Beam(tenant.choosing, chooser.end, tenant.steps)

    def take(self, slots: Mapping[int, int], emitted: Tensors, answers: Answers, ended: Array) -> list[Stepped]:
        """Go on with the best continuations; all rows end together."""
        places = [slots[row] for row in range(self.tenant.rows)]
        offers = [self._chooser.offers[slot] for slot in places]
        said: dict[str, Tensor] = {name: values[places] for name, values in emitted.items()}
        over = self._beam.advance(offers, said, lambda row: answers(places[row]))
        ended[places] = over
        if not over:
            self.parents = self._beam.parents
            self._chooser.settle(places, self._beam.tokens)
            return []
        steps = [
            Stepped(self.tenant, step, outputs, step == self._beam.longest)
            for step, outputs in enumerate(self._beam.best(), start=1)
        ]
        return steps if emitted else steps[-1:]
