"""How many lanes share the cores of this process."""

from pathlib import Path

import pytest

from service.config import Config
from service.engine import session_factory
from service.engine.device import CPU, Device
from service.engine.session_factory import SessionFactory


@pytest.mark.parametrize(
    ("settings", "cores", "lanes"),
    [
        ({}, 1, 1),
        ({}, 2, 2),
        ({}, 4, 2),
        ({}, 8, 2),
        ({}, 12, 3),
        ({"workers": 2}, 12, 2),
        ({"intra_op": 1}, 8, 8),
        ({"intra_op": 16}, 8, 1),
        ({"lanes": 3}, 1, 3),
        ({"lanes": 1, "intra_op": 1}, 8, 1),
    ],
)
def test_lanes_share_the_usable_cores_unless_configured(
    settings: dict[str, int], cores: int, lanes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_factory, "usable_cores", lambda: cores)
    config = Config.model_validate({"repository": tmp_path, **settings})
    assert SessionFactory(config, CPU).lanes == lanes
    assert SessionFactory(config, Device("cuda", own_memory=True)).lanes == 1
