"""The card of an exported captioner."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from models.captioning.graphs import ATTENTION, IMAGE, LOG_PROBABILITIES, TOKEN, EncoderGraph, StepGraph
from models.captioning.network import CaptionNetwork
from service.package import (
    AttentionGrid,
    CaptionCard,
    Golden,
    Graph,
    Loop,
    Provenance,
    TensorSpec,
    loop_outputs,
    sources,
)
from service.package import loop as loops
from service.package import token_choice as chosen
from training.captioning.subject import CaptionSubject
from training.data.vocabulary import END, NEVER_SAID, START
from training.packages import checksums

ENCODER, STEP, VOCABULARY = "encoder.onnx", "step.onnx", "vocabulary.txt"
WIDEST = 8  # beams
DATATYPES = {"uint8": "UINT8", "int64": "INT64", "float32": "FP32"}

Arrays = Mapping[str, npt.NDArray[Any]]


def describe_loop(
    subject: CaptionSubject, encoder: EncoderGraph, step: StepGraph, golden: Arrays, batches: tuple[int, int]
) -> Loop:
    """The loop over both graphs, with tensors like those in ``golden`` and at most ``batches`` rows in each graph."""

    def graph(file: str, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...], max_batch: int) -> Graph:
        specs = [[_spec(tensor, golden[f"{name}.{tensor}"]) for tensor in tensors] for tensors in (inputs, outputs)]
        return Graph(file=file, inputs=tuple(specs[0]), outputs=tuple(specs[1]), max_batch=max_batch)

    words = subject.network.length
    attention = (ATTENTION,) if ATTENTION in step.outputs else ()
    return Loop(
        encoder=graph(ENCODER, "encoder", encoder.inputs, encoder.outputs, batches[0]),
        step=graph(STEP, "step", step.inputs, step.outputs, batches[1]),
        sources=_sources(subject.network, step),
        choice=chosen.TokenChoice(
            output=LOG_PROBABILITIES,
            sample=chosen.Sampling(),
            beam=chosen.Beams(width=chosen.BeamWidth(default=subject.recipe.beam_width, minimum=1, maximum=WIDEST)),
            never=NEVER_SAID,
        ),
        emit=(chosen.TOKEN.name, chosen.LOG_PROBABILITY.name, *attention),
        answer=(chosen.SCORE.name,),
        steps=loops.Steps(default=words, maximum=words),
        end=loop_outputs.End(output=chosen.TOKEN.name, value=END),
        text=loop_outputs.Text(output=chosen.TOKEN.name, vocabulary=VOCABULARY, separator=" "),
    )


def describe(subject: CaptionSubject, loop: Loop, golden: Golden, provenance: Provenance, folder: Path) -> CaptionCard:
    """The card of the package in ``folder``, over all of its files."""
    height, width = subject.network.encoder.grid
    return CaptionCard(
        name=folder.parent.name,
        version=int(folder.name),
        title=subject.title,
        lecture=subject.lecture,
        description=subject.description,
        loop=loop,
        preprocessing=subject.source.preprocessing(IMAGE),
        attention=AttentionGrid(tensor=ATTENTION, height=height, width=width) if ATTENTION in loop.emit else None,
        golden=golden,
        files=checksums(folder),
        provenance=provenance,
    )


def _sources(network: CaptionNetwork, step: StepGraph) -> dict[str, sources.Source]:
    """The source of each step input: the chosen token, a state, or the encoder's output.

    A state begins with a constant or with an output of the encoder.
    """
    fills = network.decoder.fills

    def beginning(name: str) -> sources.Fill | sources.FromEncoder:
        if name in fills:
            return sources.Fill(kind="fill", value=fills[name])
        return sources.FromEncoder(kind="encoder", output=name)

    return {
        TOKEN: sources.Chosen(kind="chosen", initial=sources.Fill(kind="fill", value=START)),
        **{
            name: sources.State(kind="state", output=output, initial=beginning(name))
            for output, name in step.fed.items()
        },
        **{name: sources.FromEncoder(kind="encoder", output=name) for name in step.memory},
    }


def _spec(name: str, array: npt.NDArray[Any]) -> TensorSpec:
    return TensorSpec.model_validate(
        {"name": name, "datatype": DATATYPES[str(array.dtype)], "shape": (-1, *array.shape[1:])}
    )
