"""The changes of an index: adding, removing, and ending its construction. Each is one transaction."""

from collections.abc import Sequence
from sqlite3 import Connection

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidArgument, InvalidIndex
from service.indexes.description import checked_item_name, usable
from service.indexes.store import Item, Store

MAX_THUMBNAIL_BYTES = 100 << 10


def add(store: Store, items: Sequence[Item], wait_s: float) -> list[bool]:
    """Add the items, all or none. An item of a name that is there is replaced. Returns which were.

    Raises:
        InvalidArgument: a name or a vector may not be in an index.
        InvalidIndex: the index has no room for them.
        IndexBusy: others write for longer than ``wait_s`` seconds.
    """
    for item in items:
        _check(store, item)
    with store.writing(wait_s) as connection:
        state = store.summary()
        replaced, revived = [], 0
        for change, item in enumerate(items, state.change + 1):
            found = connection.execute("SELECT id, vector IS NULL FROM item WHERE name = ?", (item.name,)).fetchone()
            values = change, item.vector.astype("<f4").tobytes(), item.thumbnail
            if found is None:
                connection.execute(
                    "INSERT INTO item (change, vector, thumbnail, name) VALUES (?, ?, ?, ?)", (*values, item.name)
                )
            else:
                connection.execute(
                    "UPDATE item SET change = ?, vector = ?, thumbnail = ? WHERE id = ?", (*values, found[0])
                )
            replaced.append(found is not None and not found[1])
            revived += found is not None and found[1]
        count = state.items + len(items) - sum(replaced)
        if count > (most := store.description.max_items):
            raise InvalidIndex(f"index {store.name!r} would have {count} items; its limit is {most}")
        _conclude(connection, state.change + len(items), count, state.removed - revived)
    return replaced


def remove(store: Store, names: Sequence[str], wait_s: float) -> list[bool]:
    """Remove the items of these names, all at once. Returns which were there.

    Raises:
        InvalidArgument: a name may not be in an index.
        IndexBusy: others write for longer than ``wait_s`` seconds.
    """
    names = [checked_item_name(name) for name in names]
    with store.writing(wait_s) as connection:
        state = store.summary()
        change, there = state.change, []
        for name in names:
            done = connection.execute(
                "UPDATE item SET change = ?, vector = NULL, thumbnail = NULL WHERE name = ? AND vector IS NOT NULL",
                (change + 1, name),
            )
            there.append(done.rowcount == 1)
            change += done.rowcount
        removed = state.removed + sum(there)
        if removed > store.description.max_items:
            connection.execute("DELETE FROM item WHERE vector IS NULL")
            connection.execute("UPDATE summary SET forgotten = ?", (change,))
            removed = 0
        _conclude(connection, change, state.items - sum(there), removed)
    return there


def complete(store: Store, thresholds: NDArray[np.float32] | None, wait_s: float) -> None:
    """End the index's construction: from now on it can be searched; ``thresholds`` (D,) are those of its bits."""
    content = None if thresholds is None else thresholds.astype("<f4").tobytes()
    with store.writing(wait_s) as connection:
        connection.execute("UPDATE summary SET complete = 1, thresholds = ?", (content,))


def mean(store: Store, most: int = 1000) -> NDArray[np.float32]:
    """The mean (D,) of the vectors of the items."""
    total, count, change = np.zeros(store.description.dimension), 0, 0
    while rows := store.rows(change, most):
        found = [row.vector for row in rows if row.vector is not None]
        total += np.sum(found, axis=0, dtype="f8") if found else 0
        count, change = count + len(found), rows[-1].change
    return (total / max(1, count)).astype("f4")


def _check(store: Store, item: Item) -> None:
    checked_item_name(item.name)
    if item.vector.shape != (store.description.dimension,):
        raise InvalidArgument(
            f"a vector has shape {list(item.vector.shape)}; index {store.name!r} needs [{store.description.dimension}]"
        )
    if not usable(item.vector):
        raise InvalidArgument(f"the vector of {item.name!r} has a number that is not finite, or too large for an index")
    if item.thumbnail is not None and len(item.thumbnail) > MAX_THUMBNAIL_BYTES:
        raise InvalidArgument(f"a thumbnail has {len(item.thumbnail)} bytes; at most {MAX_THUMBNAIL_BYTES} are allowed")


def _conclude(connection: Connection, change: int, items: int, removed: int) -> None:
    connection.execute("UPDATE summary SET change = ?, items = ?, removed = ?", (change, items, removed))
