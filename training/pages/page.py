"""Inserts tables into a page of Markdown, between named marks."""

import re


def insert(page: str, name: str, table: str) -> str:
    """The ``page`` with ``table`` between the marks ``<!-- name -->`` and ``<!-- /name -->``.

    Raises:
        ValueError: the page does not have these marks exactly once.
    """
    text, found = re.subn(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
        lambda match: f"{match[1]}{table}\n{match[2]}",
        page,
        flags=re.DOTALL,
    )
    if found != 1:
        raise ValueError(f"the page has the marks of {name!r} {found} times; it must have them once")
    return text
