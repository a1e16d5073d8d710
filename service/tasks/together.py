"""Runs the several engine requests of one request side by side."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """The result of each. If one fails or the caller leaves, the others are cancelled, and awaited."""
    failed: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as errors:
        failed = errors.exceptions[0]
        errors.__traceback__ = None  # it has a frame of the library's that has the group
    if failed is None:
        return [task.result() for task in tasks]
    try:
        raise failed  # not in the block above, which would make the group its context
    finally:
        # The error's traceback has this frame, and the tasks have the error: such a cycle would keep all that the
        # frames hold until the garbage collector runs, which is seldom.
        del failed, group, tasks
