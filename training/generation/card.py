"""The card of an exported generative network of latents."""

from pathlib import Path

from models.generation.latent_graphs import (
    ELBO,
    IMAGE,
    LABEL,
    LATENT,
    NOISE,
    THRESHOLD,
    TRUNCATION,
    LatentSampler,
    VAEScore,
)
from service.package import GenerateCard, Golden, Graph, IntegerParameter, Loop, Provenance, TensorSpec
from service.package.generate import Control, GenerateParameters, LabelChoice, Sample, Score
from service.package.loop import Steps
from service.package.sources import Draw, FromRequest
from training.generation.subject import GenerationSubject
from training.packages import GOLDEN, LABELS, TOLERANCE, checksums

STEP, SCORE = "step.onnx", "score.onnx"
MOST_SAMPLES = 64  # of one request
# A grey value may be rounded the other way on another processor.
UNEQUAL = 1e-3


def describe(
    subject: GenerationSubject, batches: tuple[int, int], draws: int, provenance: Provenance, folder: Path
) -> GenerateCard:
    """The card of the package in ``folder``, over all of its files; ``batches`` are the most rows of its graphs."""
    network, classes = subject.network, subject.network.classes
    label = LabelChoice(tensor=LABEL, labels=LABELS) if classes else None
    most = min(MOST_SAMPLES, batches[0])
    return GenerateCard(
        name=folder.parent.name,
        version=int(folder.name),
        title=subject.title,
        lecture=subject.lecture,
        description=subject.description,
        loop=_loop(subject, batches[0]),
        sample=Sample(tensor=IMAGE),
        parameters=GenerateParameters(
            count=IntegerParameter(default=1, minimum=1, maximum=most),
            label=label,
            truncation=Control(tensor=TRUNCATION, default=1.0, minimum=0.0, maximum=2.0),
        ),
        # A conditional network scores an image of a class that nobody has told it.
        score=None if classes else _score(VAEScore(network, draws), subject, batches[1]),
        golden=Golden(file=GOLDEN, tolerance=TOLERANCE, unequal=UNEQUAL),
        files=checksums(folder),
        provenance=provenance,
    )


def _image(subject: GenerationSubject) -> TensorSpec:
    channels, height, width = subject.source.shape
    colour = (3,) if channels == 3 else ()
    return TensorSpec(name=IMAGE, datatype="UINT8", shape=(-1, height, width, *colour))


def _loop(subject: GenerationSubject, max_batch: int) -> Loop:
    """One step: the decoder, of latents that are drawn."""
    specs = {
        LATENT: TensorSpec(name=LATENT, datatype="FP32", shape=(-1, subject.network.latent)),
        TRUNCATION: TensorSpec(name=TRUNCATION, datatype="FP32", shape=(-1,)),
        LABEL: TensorSpec(name=LABEL, datatype="INT64", shape=(-1,)),
    }
    sources = {
        LATENT: Draw(kind="draw", distribution="normal"),
        TRUNCATION: FromRequest(kind="request", default=1.0),
        LABEL: FromRequest(kind="request"),
    }
    inputs = LatentSampler(subject.network).inputs
    return Loop(
        step=Graph(
            file=STEP,
            inputs=tuple(specs[name] for name in inputs),
            outputs=(_image(subject),),
            max_batch=max_batch,
        ),
        sources={name: sources[name] for name in inputs},
        answer=(IMAGE,),
        steps=Steps(default=1, minimum=1, maximum=1),
    )


def _score(module: VAEScore, subject: GenerationSubject, max_batch: int) -> Score:
    channels, height, width = subject.source.shape
    specs = {
        IMAGE: _image(subject),
        NOISE: TensorSpec(name=NOISE, datatype="FP32", shape=(-1, module.draws, subject.network.latent)),
        THRESHOLD: TensorSpec(name=THRESHOLD, datatype="FP32", shape=(-1, channels, height, width)),
    }
    draws = {
        NOISE: Draw(kind="draw", distribution="normal"),
        THRESHOLD: Draw(kind="draw", distribution="uniform"),
    }
    return Score(
        graph=Graph(
            file=SCORE,
            inputs=tuple(specs[name] for name in module.inputs),
            outputs=(TensorSpec(name=ELBO, datatype="FP32", shape=(-1,)),),
            max_batch=max_batch,
        ),
        image=IMAGE,
        log_likelihood=ELBO,
        draws={name: draws[name] for name in module.inputs if name != IMAGE},
    )
