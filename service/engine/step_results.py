"""What one step gave each request."""

from collections.abc import Sequence

from service.engine.beam_group import BeamGroup
from service.engine.sequence_group import Given, Row, SequenceGroup, StepResult


def results_of(
    rows: Sequence[Row], slots: Sequence[int], steps: Sequence[int], given: Given
) -> tuple[list[StepResult], list[BeamGroup]]:
    """The results of the requests whose rows emit or end at a step, and the beam searches among these requests.

    Args:
        rows: the row in each slot.
        slots: those whose rows emit or end.
        steps: how many steps each of these rows has taken.
        given: what the step gave them.
    """
    results: list[StepResult] = []
    several: dict[SequenceGroup, int] = {}
    for place, (slot, step) in enumerate(zip(slots, steps, strict=True)):
        group = rows[slot].group
        if not group.alone:
            several[group] = step
        elif given.ended[slot]:
            answers = {name: value[None] for name, value in given.answers(slot).items()}
            results.append(StepResult(group.request, step, given.values, True, place, answers))
        else:
            results.append(StepResult(group.request, step, given.values, False, place))
    for group, step in several.items():
        results += group.take(step, given)
    return results, [group for group in several if isinstance(group, BeamGroup)]
