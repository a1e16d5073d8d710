from service.nearest import MOST, did_you_mean, listed


def test_a_misspelt_name_is_told_the_known_one() -> None:
    assert did_you_mean("epoch", ["lr", "epochs", "batch"]) == "; did you mean 'epochs'?"


def test_the_nearest_few_are_told_and_not_all() -> None:
    told = did_you_mean("model", [f"model{number}" for number in range(9)])
    assert told.count("model") == MOST


def test_of_thousands_of_names_those_that_begin_alike_are_compared() -> None:
    known = [*(f"other{number:04}" for number in range(5000)), "lenet5"]
    assert did_you_mean("lenet6", known) == "; did you mean 'lenet5'?"


def test_names_are_listed_and_of_many_the_first() -> None:
    assert listed(["a", "b"]) == "['a', 'b']"
    assert listed([str(number) for number in range(22)]).endswith("'19'] and 2 more")


def test_nothing_is_told_where_nothing_is_near() -> None:
    assert did_you_mean("zebra", ["lenet5", "mlp"]) == ""
