"""A caller beside the load generators, which do not check answers: it checks all of its own."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType

from deploy.bench import callers
from deploy.bench.server import Server
from deploy.bench.subject import Subject, WrongAnswer

PAUSE_S = 0.1
# The pause is this many times as long as an answer took, so that the witness costs a slow model almost nothing.
SELDOM = 20


class Witness:
    """Repeats a request while entered; on exit, checks that there was an answer and that all were right.

    ``ask`` returns whether it was answered, and raises if the answer was wrong.

    Raises:
        Exception: what ``ask`` raised.
        WrongAnswer: there was no answer.
    """

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask = ask
        self._leave = threading.Event()
        self._error: Exception | None = None
        self.answers = 0
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Witness":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.set()
        self._thread.join()
        if self._error:
            raise self._error
        if not self.answers:
            raise WrongAnswer("the witness got no answer")

    def _watch(self) -> None:
        try:
            pause = PAUSE_S
            while not self._leave.wait(pause):
                began = time.perf_counter()
                self.answers += self._ask()
                pause = max(PAUSE_S, SELDOM * (time.perf_counter() - began))
        except Exception as error:  # raised again on exit
            self._error = error


@contextmanager
def witness(server: Server, subject: Subject, surface: str) -> Iterator[Witness]:
    """A witness for ``surface``; a refusal because of a full queue counts neither as an answer nor as wrong."""
    with ExitStack() as stack:
        if surface == "oip_grpc":
            infer = stack.enter_context(callers.grpc_raw(server.ports["grpc"], subject))
            beside = Witness(lambda: checked(lambda: subject.check_grpc(infer())))
        else:
            call = stack.enter_context(callers.rest(server.ports["rest"], subject))
            beside = Witness(lambda: checked(lambda: subject.check_rest(call())))
        yield stack.enter_context(beside)


def checked(check: Callable[[], None]) -> bool:
    """Whether there was an answer to check; False if the queue was full."""
    try:
        check()
    except callers.Refused as error:
        if error.status != 429:
            raise
        return False
    return True
