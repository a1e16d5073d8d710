"""How the next tokens of a request are chosen: what the request asks for, and what follows with the card's defaults."""

from dataclasses import dataclass
from typing import NamedTuple

from service.errors import InvalidArgument
from service.package import Loop
from service.package.graph import IntegerParameter, NumberParameter
from service.package.token_choice import Strategy, TokenChoice


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """What a request asks for; None, or an empty prefix, stands for the card's default.

    Attributes:
        strategy: ``greedy``, ``sample`` or ``beam``.
        temperature, top_k, top_p: of sampling.
        beam_width, length_penalty: of beam search; `service.package.token_choice` has the formula.
        n_best: of beam search: how many hypotheses are answered, at most the width.
        prefix: the first tokens, which are forced; only the last of them may be the end token.
    """

    strategy: Strategy | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    beam_width: int | None = None
    length_penalty: float | None = None
    n_best: int | None = None
    prefix: tuple[int, ...] = ()


class SamplingParameters(NamedTuple):
    """The complete parameters of a request. ``width`` is 1 without beam search; ``top_k`` is 0 for all tokens."""

    strategy: Strategy = "greedy"
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    width: int = 1
    length_penalty: float = 0.0
    n_best: int = 1
    prefix: tuple[int, ...] = ()


_CARD_DEFAULTS = DecodingOptions()
# The options that one strategy alone has.
_OPTIONS_OF = {
    "sample": ("temperature", "top_k", "top_p"),
    "beam": ("beam_width", "length_penalty", "n_best"),
}


def checked_sampling_parameters(
    model: str, loop: Loop, decoding: DecodingOptions | None, steps: int, rows: int
) -> SamplingParameters | None:
    """The parameters of a request with this many steps and rows; None if the loop has no choice of tokens.

    Raises:
        InvalidArgument: an option is not allowed. The message names it, the model, what was given and what is allowed.
    """
    if loop.choice is None:
        if decoding is not None:
            raise InvalidArgument(f"decoding options were given; model {model!r} chooses no tokens and allows none")
        return None
    return _Check(model, loop, loop.choice, decoding or _CARD_DEFAULTS).parameters(steps, rows)


class _Check:
    def __init__(self, model: str, loop: Loop, choice: TokenChoice, options: DecodingOptions) -> None:
        self._model = model
        self._loop = loop
        self._choice = choice
        self._options = options

    def parameters(self, steps: int, rows: int) -> SamplingParameters:
        strategy = self._strategy()
        prefix = self._prefix(steps)
        if strategy == "sample":
            return self._sampling(prefix)
        if strategy == "beam":
            return self._beam_search(prefix, rows)
        return SamplingParameters(prefix=prefix)

    def _strategy(self) -> Strategy:
        strategy = self._options.strategy or self._choice.default
        if strategy not in self._choice.strategies:
            raise self._refusal(f"strategy is {str(strategy)[:80]!r}", f"{list(self._choice.strategies)}")
        for other, names in _OPTIONS_OF.items():
            for name in names:
                if other != strategy and getattr(self._options, name) is not None:
                    raise self._refusal(f"{name} was given with strategy {strategy!r}", f"it with {other!r} only")
        return strategy

    def _sampling(self, prefix: tuple[int, ...]) -> SamplingParameters:
        allowed = self._choice.sample
        assert allowed is not None  # _strategy
        return SamplingParameters(
            "sample",
            float(self._number("temperature", self._options.temperature, allowed.temperature)),
            int(self._number("top_k", self._options.top_k, allowed.top_k)),
            float(self._number("top_p", self._options.top_p, allowed.top_p)),
            prefix=prefix,
        )

    def _beam_search(self, prefix: tuple[int, ...], rows: int) -> SamplingParameters:
        allowed = self._choice.beam
        assert allowed is not None  # _strategy
        if rows > 1:
            raise self._refusal(f"the request has {rows} rows", "one with beam search, whose beams are rows")
        width = int(self._number("beam_width", self._options.beam_width, allowed.width))
        if width > self._loop.max_batch:
            raise self._refusal(f"beam_width is {width}", f"at most {self._loop.max_batch}, the rows of a step")
        penalty = float(self._number("length_penalty", self._options.length_penalty, allowed.length_penalty))
        best = IntegerParameter(default=1, minimum=1, maximum=width)
        n_best = int(self._number("n_best", self._options.n_best, best))
        return SamplingParameters("beam", width=width, length_penalty=penalty, n_best=n_best, prefix=prefix)

    def _prefix(self, steps: int) -> tuple[int, ...]:
        prefix, tokens = tuple(self._options.prefix), self._choice.tokens(self._loop.step)
        if len(prefix) > steps:
            raise self._refusal(f"prefix has {len(prefix)} tokens", f"at most {steps}, the steps of the request")
        for token in prefix:
            if not 0 <= token < tokens:
                raise self._refusal(f"prefix has token {token}", f"0 to {tokens - 1}")
        if self._loop.end_token in prefix[:-1]:
            raise self._refusal(f"prefix has the end token {self._loop.end_token} before others", "it as the last only")
        return prefix

    def _number(self, name: str, given: float | None, allowed: IntegerParameter | NumberParameter) -> float:
        value = allowed.default if given is None else given
        if not allowed.minimum <= value <= allowed.maximum:
            raise self._refusal(f"{name} is {value:g}", f"{allowed.minimum:g} to {allowed.maximum:g}")
        return value

    def _refusal(self, given: str, allowed: str) -> InvalidArgument:
        return InvalidArgument(f"{given}; model {self._model!r} allows {allowed}")
