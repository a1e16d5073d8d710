import numpy as np
import pytest
import torch

from models.classification.neighbours import NearestNeighbours


def remembering(images: list[list[float]], labels: list[int], **options: object) -> NearestNeighbours:
    model = NearestNeighbours(inputs=len(images[0]), rows=len(images), classes=3, **options)  # type: ignore[arg-type]
    model.remember(torch.tensor(images).reshape(len(images), 1, 1, -1), torch.tensor(labels))
    return model


def image(*pixels: float) -> torch.Tensor:
    return torch.tensor(pixels).reshape(1, 1, 1, -1)


def test_most_of_the_nearest_decide() -> None:
    model = remembering([[0.0], [0.1], [0.2], [1.0], [1.1]], [0, 1, 1, 2, 2], neighbours=3)
    assert model(image(0.0)).argmax() == 1
    assert model(image(1.2)).argmax() == 2


def test_the_softmax_of_the_logits_is_each_classs_share_of_the_neighbours() -> None:
    model = remembering([[0.0], [0.1], [0.2], [0.3]], [0, 1, 1, 2], neighbours=4)
    shares = model(image(0.16)).softmax(1)
    torch.testing.assert_close(shares, torch.tensor([[0.25, 0.5, 0.25]]), atol=2e-3, rtol=0)


@pytest.mark.parametrize("nearer", [0, 1])
def test_the_nearest_breaks_a_tie(nearer: int) -> None:
    model = remembering([[0.0], [1.0]], [0, 1], neighbours=2)
    assert model(image(0.1 + 0.8 * nearer)).argmax() == nearer


def test_the_distance_decides_who_is_near() -> None:
    images, labels = [[3.0, 0.0], [2.0, 2.0]], [0, 1]  # l1: 3 and 4; l2: 3 and 2.83
    assert remembering(images, labels, neighbours=1, distance="l1")(image(0.0, 0.0)).argmax() == 0
    assert remembering(images, labels, neighbours=1, distance="l2")(image(0.0, 0.0)).argmax() == 1


@pytest.mark.parametrize(("distance", "order"), [("l1", 1), ("l2", 2)])
def test_neighbours_are_those_of_a_search_through_all(distance: str, order: int) -> None:
    draw = np.random.default_rng(0)
    rows, x = draw.normal(size=(200, 9)).astype("f4"), draw.normal(size=(20, 9)).astype("f4")
    model = remembering(rows.tolist(), [0] * 200, neighbours=1, distance=distance)
    wanted = [np.linalg.norm(rows - one, order, axis=1).argmin() for one in x]
    assert model.distances(torch.from_numpy(x)).argmin(1).tolist() == wanted


def test_what_is_remembered_is_in_the_state() -> None:
    model = remembering([[0.0], [1.0]], [2, 0], neighbours=1)
    again = NearestNeighbours(inputs=1, rows=2, neighbours=1, classes=3)
    again.load_state_dict(model.state_dict())
    assert again(image(0.2)).argmax() == 2


def test_another_number_of_rows_is_refused() -> None:
    model = NearestNeighbours(inputs=1, rows=3, neighbours=1)
    with pytest.raises(ValueError, match="there are 2 images and 2 labels; the model needs 3"):
        model.remember(torch.zeros(2, 1), torch.zeros(2, dtype=torch.long))


def test_more_neighbours_than_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="neighbours is 6; 5 rows allow 1 to 5"):
        NearestNeighbours(rows=5, neighbours=6)
