"""Search indexes: the feature vectors of many images on the disk, and the search for the nearest.

An index is a folder ``<indexes>/<name>/`` with one SQLite file. It describes the model that
embedded its images, and the caller must check that it embeds new ones with the same model.
"""

from service.indexes.changes import add, complete, mean, remove
from service.indexes.description import (
    MAX_ITEM_NAME,
    MAX_ITEMS,
    MAX_NUMBERS,
    MAX_THUMBNAIL,
    METRICS,
    Description,
    Metric,
    checked_index_name,
    checked_item_name,
)
from service.indexes.opened import Found, Indexes, Opened, Searched
from service.indexes.store import Item, Store, Summary

__all__ = [
    "MAX_ITEMS",
    "MAX_ITEM_NAME",
    "MAX_NUMBERS",
    "MAX_THUMBNAIL",
    "METRICS",
    "Description",
    "Found",
    "Indexes",
    "Item",
    "Metric",
    "Opened",
    "Searched",
    "Store",
    "Summary",
    "add",
    "checked_index_name",
    "checked_item_name",
    "complete",
    "mean",
    "remove",
]
