"""Step loops with the state kept on the device, against the same steps with all tensors copied to it and back."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deploy.bench.decoder import decoder
from deploy.bench.gpu import bare
from deploy.bench.gpu.attention import attention
from deploy.bench.gpu.served import FOLDER
from deploy.bench.plan import Plan
from deploy.bench.table import Row, at_least, median_row
from service.engine.cores import usable_cores
from service.engine.device import Device
from service.engine.model import Model
from service.engine.sampling_parameters import SamplingParameters
from service.engine.session import Session
from service.engine.slots import Slots
from service.engine.tensors import DTYPES, Tensors
from service.package import Loop, read_package
from service.package.sources import State

STEPS = 1_000_000


@dataclass(eq=False)
class Guest:
    """A request that occupies all slots, for as many steps as are run."""

    inputs: Tensors
    rows: int
    encoded: Tensors = field(default_factory=dict)
    steps: int = STEPS
    every: int = 1
    seed: int = 0
    gone: bool = False
    sampling: SamplingParameters | None = None


def rows(plan: Plan, device: Device, repository: Path = FOLDER) -> Iterator[Row]:
    """The gain in steps per second, for a decoder with a large constant input and for one without."""
    yield _of("attending decoder, 6.4 MB of features", attention(repository), plan, device, at_least(1.5))
    yield _of("plain decoder, 64 KB of state", decoder(repository) / "decoder" / "1", plan, device, None)


def _of(what: str, folder: Path, plan: Plan, device: Device, target: Any) -> Row:
    model = Model(read_package(folder), partial(Session, intra_op=usable_cores(), device=device))
    loop = model.program
    assert isinstance(loop, Loop)
    inputs = _inputs(loop)
    slots = Slots(loop, model.session)
    slots.place(Guest({name: inputs[name] for name in loop.defaults}, loop.max_batch))
    copied = _Copied(folder, loop, inputs, device)
    _same_tokens(slots, copied)
    kept, sent = [], []
    for _ in range(plan.rounds):
        kept.append(bare.per_s(slots.step, plan.block_s))
        sent.append(bare.per_s(copied.step, plan.block_s))
    times = [a / b for a, b in zip(kept, sent, strict=True)]
    beside = {"steps/s kept": float(np.median(kept)), "steps/s copied": float(np.median(sent))}
    return median_row(f"{what}: steps with the state kept on {device}, against copies", times, "x", target, **beside)


class _Copied:
    """The steps of a bare session, which copies all inputs and outputs each time."""

    def __init__(self, folder: Path, loop: Loop, inputs: dict[str, Any], device: Device) -> None:
        self._session = bare.session(folder / loop.step.file, device)
        self._outputs = [spec.name for spec in loop.step.outputs]
        self._states = {name: s.output for name, s in loop.sources.items() if isinstance(s, State)}
        self._inputs = dict(inputs)

    def step(self) -> dict[str, Any]:
        """One step for all rows."""
        found = dict(zip(self._outputs, self._session.run(self._outputs, self._inputs), strict=True))
        self._inputs |= {name: found[output] for name, output in self._states.items()}
        return found


def _inputs(loop: Loop) -> dict[str, Any]:
    """The first inputs of all rows: noise for features, zeros for states, a different token for each."""
    generator = np.random.default_rng(0)
    made: dict[str, Any] = {}
    for spec in loop.step.inputs:
        shape, dtype = (loop.max_batch, *spec.shape[1:]), DTYPES[spec.datatype]
        made[spec.name] = generator.normal(size=shape).astype(dtype) if len(shape) > 2 else np.zeros(shape, dtype)
    made["token"] = np.arange(loop.max_batch) + 1
    return made


def _same_tokens(slots: Slots, copied: _Copied) -> None:
    """Check that both ways give the same words.

    Raises:
        RuntimeError: they do not.
    """
    for step in range(8):
        [stepped] = slots.step()[1]
        kept, sent = stepped.outputs["next_token"], copied.step()["next_token"]
        if kept.tolist() != sent.tolist():
            raise RuntimeError(f"step {step}: {kept.tolist()} with the state kept, {sent.tolist()} with copies")
