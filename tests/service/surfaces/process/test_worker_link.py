from pathlib import Path

import pytest

from service.config import Config, load_config
from service.surfaces.process.worker_link import Orders, line


@pytest.mark.parametrize(("gpus", "wanted"), [("0", [0, 0, 0]), ("2,5", [2, 5, 2]), ("3,1,0", [3, 1, 0])])
def test_each_worker_drives_one_of_the_gpus_in_turn(gpus: str, wanted: list[int], tmp_path: Path) -> None:
    config = load_config({"LECTORIUM_GPUS": gpus, "LECTORIUM_WORKERS": "3"})
    for number, gpu in enumerate(wanted, start=1):
        sent = line(Orders(number=number, folder=tmp_path, config=config))
        assert Orders.model_validate_json(sent).own_config == config.model_copy(update={"gpus": (gpu,)})


def test_a_worker_has_the_rest_of_the_configuration_unchanged(tmp_path: Path) -> None:
    config = Config(workers=2, lanes=3)
    assert Orders(number=2, folder=tmp_path, config=config).own_config == config


def test_a_worker_is_told_the_control_token_which_nothing_else_that_shows_the_configuration_has(tmp_path: Path) -> None:
    config = load_config({"LECTORIUM_CONTROL_TOKEN": "s3cret", "LECTORIUM_WORKERS": "2"})
    for shown in (str(config), repr(config), str(config.model_dump()), config.model_dump_json()):
        assert "s3cret" not in shown
    told = Orders.model_validate_json(line(Orders(number=1, folder=tmp_path, config=config))).own_config
    assert told.control_token is not None
    assert told.control_token.get_secret_value() == "s3cret"
