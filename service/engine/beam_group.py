"""A request in the slots that beam search answers: its hypotheses are its rows."""

from service.engine.beam import Beam
from service.engine.sampler import Sampler
from service.engine.sequence_group import Given, SequenceGroup, SlotRequest, StepResult


class BeamGroup(SequenceGroup):
    """Emits nothing until its last step, and then the best hypotheses step by step; each hypothesis is a row.

    Attributes:
        tokens: for each row, the token that it continues with.
        over: whether the search is over; all rows end together.
    """

    def __init__(self, request: SlotRequest, sampler: Sampler) -> None:
        super().__init__(request)
        assert request.sampling is not None  # the loop has a choice of tokens
        self.alone = False
        self.every = 1  # the search needs what every step gives
        self.over = False
        self._sampler = sampler
        self._beam = Beam(request.sampling, sampler.end, request.steps)

    def take(self, step: int, given: Given) -> list[StepResult]:
        """Continue with the best hypotheses."""
        slots = [self.slots[row] for row in range(self.request.rows)]
        candidates = [self._sampler.candidates[slot] for slot in slots]
        places = [given.places[slot] for slot in slots]
        self.over = self._beam.advance(candidates, given.values, lambda row: given.answers(slots[row]), places)
        if not self.over:
            self.parents, self.tokens = self._beam.parents, self._beam.tokens
            return []
        steps = [
            StepResult(self.request, step, outputs, step == self._beam.longest)
            for step, outputs in enumerate(self._beam.best(), start=1)
        ]
        return steps if given.values else steps[-1:]
