from service.nearest import MOST, did_you_mean


def test_a_misspelt_name_is_told_the_known_one() -> None:
    assert did_you_mean("epoch", ["lr", "epochs", "batch"]) == "; did you mean 'epochs'?"


def test_the_nearest_few_are_told_and_not_all() -> None:
    told = did_you_mean("model", [f"model{number}" for number in range(9)])
    assert told.count("model") == MOST


def test_nothing_is_told_where_nothing_is_near() -> None:
    assert did_you_mean("zebra", ["lenet5", "mlp"]) == ""
