"""The choice of the next token, which the engine makes from the log-probabilities of the step graph."""

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

# The outputs that a choice adds to the graph's: two at every step, and the score at a row's end.
TOKEN = TensorSpec(name="token", datatype="INT64", shape=(-1,))
LOG_PROBABILITY = TensorSpec(name="log_probability", datatype="FP32", shape=(-1,))
SCORE = TensorSpec(name="score", datatype="FP32", shape=(-1,))
CHOSEN = (TOKEN, LOG_PROBABILITY, SCORE)


class Temperature(NumberParameter):
    """The divisor of log-probabilities before a token is drawn; near 0, the most probable token is drawn."""

    minimum: Annotated[Finite, Field(gt=0)]
    maximum: Annotated[Finite, Field(le=1e6)]


class TopP(NumberParameter):
    """Tokens are drawn only from the most probable ones that together have this probability."""

    minimum: Annotated[Finite, Field(gt=0)] = 0.01
    maximum: Annotated[Finite, Field(le=1)] = 1.0


class TopK(IntegerParameter):
    """Tokens are drawn only from this many of the most probable ones; 0: from all."""

    minimum: Annotated[int, Field(ge=0, le=MAX_DIMENSION)] = 0


class Sampling(Frozen):
    """A token is drawn; ``top_p`` applies to what ``top_k`` leaves (Holtzman et al., arXiv:1904.09751)."""

    temperature: Temperature = Temperature(default=1.0, minimum=0.01, maximum=10.0)
    top_k: TopK = TopK(default=0, maximum=1000)
    top_p: TopP = TopP(default=1.0)


class LengthPenalty(NumberParameter):
    """The exponent a of ((5 + n) / 6)^a, by which the log-probability of n tokens is divided (arXiv:1609.08144)."""

    minimum: Annotated[Finite, Field(ge=0)] = 0.0
    maximum: Annotated[Finite, Field(le=MAX_PENALTY)]


class BeamWidth(IntegerParameter):
    """The number of unfinished hypotheses kept after each step; each is a row."""

    minimum: Positive = 1
    maximum: Annotated[int, Field(le=MAX_BEAMS)]


class Beams(Frozen):
    """Beam search for the hypotheses with the highest score."""

    width: BeamWidth
    length_penalty: LengthPenalty = LengthPenalty(default=0.0, maximum=5.0)


class TokenChoice(Frozen):
    """How each row's next token may be chosen, from ``output`` (batch, tokens), its log-probabilities.

    The most probable token (greedy) is always allowed, ``sample`` and ``beam`` only if given. ``never`` has tokens that
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
        """The strategies that a request may name."""
        said = {"greedy": True, "sample": self.sample is not None, "beam": self.beam is not None}
        return tuple(strategy for strategy in STRATEGIES if said[strategy])

    def tokens(self, step: Graph) -> int:
        """The number of tokens to choose from."""
        return find(step.outputs, self.output, "choice.output").shape[-1]

    def check(self, step: Graph, fed: set[str], given: tuple[str, ...]) -> None:
        """Check that the choice fits the ``step`` graph; the outputs in ``fed`` and ``given`` have other uses.

        ``fed`` are the outputs fed back as states, ``given`` those emitted or answered.

        Raises:
            ValueError: it does not fit; the message says why.
        """
        scores = find(step.outputs, self.output, "choice.output")
        if scores.datatype != "FP32" or len(scores.shape) != 2:
            raise ValueError(
                f"choice.output {self.output!r} is {scores.datatype} {list(scores.shape)}; it must be FP32 [-1, tokens]"
            )
        if self.output in fed or self.output in given:
            raise ValueError(
                f"choice.output {self.output!r} is also a state, emitted or answered, which is not allowed"
            )
        if taken := {spec.name for spec in CHOSEN} & {spec.name for spec in step.outputs}:
            raise ValueError(f"the step graph has an output {min(taken)!r}, a name that the choice's output has")
        tokens = scores.shape[-1]
        if len(set(self.never)) < len(self.never) or max(self.never, default=0) >= tokens:
            raise ValueError(f"choice.never is {list(self.never)}; it must be different tokens of 0..{tokens - 1}")
        if len(self.never) == tokens:
            raise ValueError(f"choice.never has all {tokens} tokens; at least one must be left")
        if self.beam is not None and self.beam.width.maximum > step.max_batch:
            raise ValueError(
                f"choice.beam.width allows up to {self.beam.width.maximum}; each beam is a row, and max_batch is "
                f"{step.max_batch}"
            )
