import numpy as np

from service.masks.activation import strong
from service.masks.components import connected


def test_the_object_is_where_the_map_is_above_a_share_of_its_maximum() -> None:
    activation = np.array([[0, 0, 0, 0], [0, 4, 1, 0], [0, 0, 0, 0]], "f4")

    assert strong(activation, 3, 4, 0.2).tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert strong(activation, 3, 4, 0.5).sum() == 1


def test_the_map_is_interpolated_so_that_its_largest_part_has_a_box_in_pixels() -> None:
    activation = np.zeros((8, 8), "f4")
    activation[2:5, 3:7] = 1
    activation[7, 0] = 0.3

    found = connected(strong(activation, 64, 64, 0.5))

    assert found.boxes[found.largest(1)].tolist() == [[24, 16, 32, 24]]
    assert len(connected(strong(activation, 64, 64, 0.2))) == 2


def test_negative_and_missing_values_are_no_evidence() -> None:
    activation = np.array([[-5, np.nan], [-1, 1]], "f4")

    assert strong(activation, 2, 2).tolist() == [[0, 0], [0, 1]]
    assert not strong(-np.ones((2, 2), "f4"), 4, 4).any()
