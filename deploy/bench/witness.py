"""A caller beside the load generators, which look at no answer: it checks every one of its own."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType

from deploy.bench import callers
from deploy.bench.server import Server
from deploy.bench.subject import Subject, WrongAnswer

PAUSE_S = 0.1
# Times as long as an answer takes is the pause after it, so that what a slow model does for it does not count.
SELDOM = 20


class Witness:
    """Asks again and again while entered; on the way out, at least one answer came and all were right.

    ``ask`` says whether it was answered, and raises where the answer was wrong.

    Raises:
        Exception: what ``ask`` raised.
        WrongAnswer: nothing was answered.
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
            raise WrongAnswer("the witness was not answered once")

    def _watch(self) -> None:
        try:
            pause = PAUSE_S
            while not self._leave.wait(pause):
                began = time.perf_counter()
                self.answers += self._ask()
                pause = max(PAUSE_S, SELDOM * (time.perf_counter() - began))
        except Exception as error:  # raised again where it is looked for
            self._error = error


@contextmanager
def witness(server: Server, subject: Subject, surface: str) -> Iterator[Witness]:
    """One for ``surface``; a refusal by a full queue is no answer, and not wrong."""
    with ExitStack() as stack:
        if surface == "oip_grpc":
            infer = stack.enter_context(callers.grpc_raw(server.ports["grpc"], subject))
            beside = Witness(lambda: checked(lambda: subject.check_grpc(infer())))
        else:
            call = stack.enter_context(callers.rest(server.ports["rest"], subject))
            beside = Witness(lambda: checked(lambda: subject.check_rest(call())))
        yield stack.enter_context(beside)


def checked(check: Callable[[], None]) -> bool:
    """Whether there was an answer to check; False where the queue was full."""
    try:
        check()
    except callers.Refused as error:
        if error.status != 429:
            raise
        return False
    return True
