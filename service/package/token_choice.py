"""What a loop leaves to the engine: the next token, chosen of the log-probabilities that the step graph gives."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from service.package.graph import (
    MAX_DIMENSION,
    Finite,
    Frozen,
    Graph,
    IntegerParameter,
    NumberParameter,
    Positive,
    TensorName,
    TensorSpec,
    find,
)

Strategy = Literal["greedy", "sample", "beam"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

MAX_BEAMS = 1024
MAX_PENALTY = 100.0
MAX_NEVER = 100_000

# What a choice gives beside the graph's outputs: at every step, and at a row's end.
TOKEN = TensorSpec(name="token", datatype="INT64", shape=(-1,))
LOG_PROBABILITY = TensorSpec(name="log_probability", datatype="FP32", shape=(-1,))
SCORE = TensorSpec(name="score", datatype="FP32", shape=(-1,))
CHOSEN = (TOKEN, LOG_PROBABILITY, SCORE)


class Temperature(NumberParameter):
    """What log-probabilities are divided by before a token is drawn: towards 0 the most probable one is."""

    minimum: Annotated[Finite, Field(gt=0)]
    maximum: Annotated[Finite, Field(le=1e6)]


class TopP(NumberParameter):
    """The most probable tokens that together have this probability are drawn from, and no others."""

    minimum: Annotated[Finite, Field(gt=0)] = 0.01
    maximum: Annotated[Finite, Field(le=1)] = 1.0


class TopK(IntegerParameter):
    """So many of the most probable tokens are drawn from, and no others; 0: all."""

    minimum: Annotated[int, Field(ge=0, le=MAX_DIMENSION)] = 0


class Sampling(Frozen):
    """A token is drawn; ``top_p`` is of what ``top_k`` leaves (Holtzman et al., arXiv:1904.09751)."""

    temperature: Temperature = Temperature(default=1.0, minimum=0.01, maximum=10.0)
    top_k: TopK = TopK(default=0, maximum=1000)
    top_p: TopP = TopP(default=1.0)


class LengthPenalty(NumberParameter):
    """The exponent a of ((5 + n) / 6)^a, by which the log-probability of n tokens is divided (arXiv:1609.08144)."""

    minimum: Annotated[Finite, Field(ge=0)] = 0.0
    maximum: Annotated[Finite, Field(le=MAX_PENALTY)]


class BeamWidth(IntegerParameter):
    """How many unfinished hypotheses are kept after each step; each is a row."""

    minimum: Positive = 1
    maximum: Annotated[int, Field(le=MAX_BEAMS)]


class Beams(Frozen):
    """The hypotheses of the highest score are searched for."""

    width: BeamWidth
    length_penalty: LengthPenalty = LengthPenalty(default=0.0, maximum=5.0)


class TokenChoice(Frozen):
    """How each row's next token may be chosen, from ``output`` (batch, tokens), its log-probabilities.

    The most probable one (greedy) always may; ``sample`` and ``beam`` where they are said. ``never`` are tokens that
    are not chosen. A loop with a choice may emit ``token`` and its ``log_probability``, which is the graph's own,
    whatever the temperature; it may answer ``score``, the sum of a row's log-probabilities over the length penalty.
    """

    output: TensorName
    default: Strategy = "greedy"
    sample: Sampling | None = None
    beam: Beams | None = None
    never: Annotated[tuple[Annotated[int, Field(ge=0, le=MAX_DIMENSION)], ...], Field(max_length=MAX_NEVER)] = ()

    @model_validator(mode="after")
    def _default_is_allowed(self) -> "TokenChoice":
        if self.default not in self.strategies:
            raise ValueError(f"default is {self.default!r}; the choice has {list(self.strategies)}")
        return self

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """Those a request may name."""
        said = {"greedy": True, "sample": self.sample is not None, "beam": self.beam is not None}
        return tuple(strategy for strategy in STRATEGIES if said[strategy])

    def tokens(self, step: Graph) -> int:
        """How many tokens there are to choose from."""
        return find(step.outputs, self.output, "choice.output").shape[-1]

    def check(self, step: Graph, fed: set[str], given: tuple[str, ...]) -> None:
        """See that it fits the ``step`` graph, of whose outputs those ``fed`` back and ``given`` are read elsewhere.

        Raises:
            ValueError: it does not; how.
        """
        scores = find(step.outputs, self.output, "choice.output")
        if scores.datatype != "FP32" or len(scores.shape) != 2:
            raise ValueError(
                f"choice.output {self.output!r} is {scores.datatype} {list(scores.shape)}; FP32 [-1, tokens] is wanted"
            )
        if self.output in fed or self.output in given:
            raise ValueError(f"choice.output {self.output!r} is for the choice; it is no state, emitted or answered")
        if taken := {spec.name for spec in CHOSEN} & {spec.name for spec in step.outputs}:
            raise ValueError(f"the step graph has an output {min(taken)!r}, which is what the choice gives")
        tokens = scores.shape[-1]
        if len(set(self.never)) < len(self.never) or max(self.never, default=0) >= tokens:
            raise ValueError(f"choice.never is {list(self.never)}; different tokens of 0..{tokens - 1} are wanted")
        if len(self.never) == tokens:
            raise ValueError(f"choice.never leaves none of {tokens} tokens")
        if self.beam is not None and self.beam.width.maximum > step.max_batch:
            raise ValueError(
                f"choice.beam.width goes up to {self.beam.width.maximum}; "
                f"max_batch is {step.max_batch}, and each beam is a row"
            )
