"""Tables on a page."""

import pytest

from training.pages.page import insert


def test_a_table_takes_the_place_of_the_one_before_and_of_nothing_else() -> None:
    page = "a\n<!-- x -->\nold\nlines\n<!-- /x -->\nb\n<!-- y -->\n<!-- /y -->\n"
    wanted = "a\n<!-- x -->\nnew \\1\n<!-- /x -->\nb\n<!-- y -->\n<!-- /y -->\n"
    assert insert(page, "x", r"new \1") == wanted
    assert insert(wanted, "x", r"new \1") == wanted
    with pytest.raises(ValueError, match="the page has the marks of 'z' 0 times; it must have them once"):
        insert(page, "z", "new")
