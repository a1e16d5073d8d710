"""Which outputs of a step are read, and what they gave each request."""

from collections.abc import Sequence

from service.engine.beam_group import BeamGroup
from service.engine.sequence_group import Given, Row, SequenceGroup, StepResult
from service.package import Loop


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


def watched_outputs(loop: Loop) -> tuple[str, ...]:
    """The names of the step graph's outputs that are read at every step."""
    ends, choice = (loop.end.output,) if loop.end else (), (loop.choice.output,) if loop.choice else ()
    outputs = {spec.name for spec in loop.step.outputs}
    return tuple(name for name in dict.fromkeys((*ends, *choice)) if name in outputs)


def read_outputs(loop: Loop) -> tuple[str, ...]:
    """Those, and the outputs that are read at the steps that a request emits."""
    outputs = {spec.name for spec in loop.step.outputs}
    return tuple(name for name in dict.fromkeys((*loop.emit, *watched_outputs(loop))) if name in outputs)
