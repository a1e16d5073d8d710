"""Tables on a page of Markdown, between marks of their own."""

import re


def insert(page: str, name: str, table: str) -> str:
    """The ``page`` with the ``table`` between its marks ``<!-- name -->`` and ``<!-- /name -->``.

    Raises:
        ValueError: the page has no such marks.
    """
    text, found = re.subn(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
        lambda match: f"{match[1]}{table}\n{match[2]}",
        page,
        flags=re.DOTALL,
    )
    if found != 1:
        raise ValueError(f"the page has {found} places for {name!r}, wanted 1")
    return text
