"""How a request wants its tokens chosen, and what that comes to with the defaults of the loop."""

from dataclasses import dataclass
from typing import NamedTuple

from service.errors import InvalidArgument
from service.package import Loop
from service.package.choice import Choice, Strategy
from service.package.graph import IntegerParameter, NumberParameter


@dataclass(frozen=True, slots=True)
class Decoding:
    """A request's wishes; None, or nothing, is the card's default.

    Attributes:
        strategy: ``greedy``, ``sample`` or ``beam``.
        temperature, top_k, top_p: of sampling.
        beam_width, length_penalty: of beam search; `service.package.choice` has the formula.
        n_best: of beam search: how many hypotheses are answered, the width at most.
        prefix: the first tokens, forced; the end token may be the last of them.
    """

    strategy: Strategy | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    beam_width: int | None = None
    length_penalty: float | None = None
    n_best: int | None = None
    prefix: tuple[int, ...] = ()


class Choosing(NamedTuple):
    """Wishes that the loop grants, complete; ``width`` is 1 but for beams, ``top_k`` 0 for all tokens."""

    strategy: Strategy = "greedy"
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    width: int = 1
    length_penalty: float = 0.0
    n_best: int = 1
    prefix: tuple[int, ...] = ()


_AS_THE_CARD = Decoding()
# The wishes that say something of one strategy only.
_OF = {
    "sample": ("temperature", "top_k", "top_p"),
    "beam": ("beam_width", "length_penalty", "n_best"),
}


def checked_decoding(model: str, loop: Loop, decoding: Decoding | None, steps: int, rows: int) -> Choosing | None:
    """What ``decoding`` comes to for a request of so many steps and rows; None where the loop has no choice.

    Raises:
        InvalidArgument: naming the model, the wish, what came and what is taken.
    """
    if loop.choice is None:
        if decoding is not None:
            raise InvalidArgument(f"model {model!r} leaves no choice of tokens; it takes no decoding")
        return None
    return _Checked(model, loop, loop.choice, decoding or _AS_THE_CARD).choosing(steps, rows)


class _Checked:
    def __init__(self, model: str, loop: Loop, choice: Choice, decoding: Decoding) -> None:
        self._model = model
        self._loop = loop
        self._choice = choice
        self._wanted = decoding

    def choosing(self, steps: int, rows: int) -> Choosing:
        strategy = self._strategy()
        prefix = self._prefix(steps)
        if strategy == "sample":
            return self._sampling(prefix)
        if strategy == "beam":
            return self._beams(prefix, rows)
        return Choosing(prefix=prefix)

    def _strategy(self) -> Strategy:
        strategy = self._wanted.strategy or self._choice.default
        if strategy not in self._choice.strategies:
            raise self._refusal("strategy", repr(str(strategy)[:80]), str(list(self._choice.strategies)))
        for other, wishes in _OF.items():
            for wish in wishes:
                if other != strategy and getattr(self._wanted, wish) is not None:
                    raise self._refusal(wish, "it", f"it with strategy {other!r}, not with {strategy!r}")
        return strategy

    def _sampling(self, prefix: tuple[int, ...]) -> Choosing:
        allowed = self._choice.sample
        assert allowed is not None  # _strategy
        return Choosing(
            "sample",
            self._number("temperature", self._wanted.temperature, allowed.temperature),
            self._whole("top_k", self._wanted.top_k, allowed.top_k),
            self._number("top_p", self._wanted.top_p, allowed.top_p),
            prefix=prefix,
        )

    def _beams(self, prefix: tuple[int, ...], rows: int) -> Choosing:
        allowed = self._choice.beam
        assert allowed is not None  # _strategy
        if rows > 1:
            raise InvalidArgument(f"model {self._model!r}: {rows} rows came; beam search takes one, its beams are rows")
        width = self._whole("beam_width", self._wanted.beam_width, allowed.width)
        if width > self._loop.max_batch:
            raise self._refusal("beam_width", str(width), f"at most {self._loop.max_batch}, the rows of a step")
        penalty = self._number("length_penalty", self._wanted.length_penalty, allowed.length_penalty)
        best = IntegerParameter(default=1, minimum=1, maximum=width)
        n_best = self._whole("n_best", self._wanted.n_best, best)
        return Choosing("beam", width=width, length_penalty=penalty, n_best=n_best, prefix=prefix)

    def _prefix(self, steps: int) -> tuple[int, ...]:
        prefix, tokens = tuple(self._wanted.prefix), self._choice.tokens(self._loop.step)
        if len(prefix) > steps:
            raise self._refusal("prefix", f"{len(prefix)} tokens", f"{steps} at most, the steps of the request")
        for token in prefix:
            if not 0 <= token < tokens:
                raise self._refusal("prefix", f"token {token}", f"0 to {tokens - 1}")
        if self._loop.end_token in prefix[:-1]:
            raise self._refusal("prefix", f"the end token {self._loop.end_token} before others", "it as the last")
        return prefix

    def _whole(self, name: str, came: int | None, allowed: IntegerParameter) -> int:
        value = allowed.default if came is None else came
        self._check_range(name, value, allowed)
        return value

    def _number(self, name: str, came: float | None, allowed: NumberParameter) -> float:
        value = allowed.default if came is None else came
        self._check_range(name, value, allowed)
        return float(value)

    def _check_range(self, name: str, value: float, allowed: IntegerParameter | NumberParameter) -> None:
        if not allowed.minimum <= value <= allowed.maximum:
            raise self._refusal(name, f"{value:g}", f"{allowed.minimum:g} to {allowed.maximum:g}")

    def _refusal(self, wish: str, came: str, takes: str) -> InvalidArgument:
        return InvalidArgument(f"model {self._model!r}: {wish}: {came} came; the model takes {takes}")
