"""A request in the slots that beam search answers: its hypotheses are its rows."""

from collections.abc import Mapping

from service.engine.beam import Beam
from service.engine.sampler import Sampler
from service.engine.sampling import Array
from service.engine.sequence_group import Answers, SequenceGroup, SlotRequest, StepResult
from service.engine.tensors import Tensor, Tensors


class BeamGroup(SequenceGroup):
    """Emits nothing until its last step, and then the best hypotheses step by step; each hypothesis is a row."""

    def __init__(self, request: SlotRequest, sampler: Sampler) -> None:
        super().__init__(request)
        assert request.sampling is not None  # the loop has a choice of tokens
        self._sampler = sampler
        self._beam = Beam(request.sampling, sampler.end, request.steps)

    def take(self, slots: Mapping[int, int], emitted: Tensors, answers: Answers, ended: Array) -> list[StepResult]:
        """Continue with the best hypotheses; all rows end together."""
        places = [slots[row] for row in range(self.request.rows)]
        candidates = [self._sampler.candidates[slot] for slot in places]
        given: dict[str, Tensor] = {name: values[places] for name, values in emitted.items()}
        over = self._beam.advance(candidates, given, lambda row: answers(places[row]))
        ended[places] = over
        if not over:
            self.parents = self._beam.parents
            self._sampler.replace_tokens(places, self._beam.tokens)
            return []
        steps = [
            StepResult(self.request, step, outputs, step == self._beam.longest)
            for step, outputs in enumerate(self._beam.best(), start=1)
        ]
        return steps if emitted else steps[-1:]
