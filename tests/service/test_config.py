from pathlib import Path

import pytest
from pydantic import ValidationError

from service.config import Config, load_config
from service.errors import InvalidConfig


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "lectorium.toml"


def test_without_settings_every_field_has_its_default() -> None:
    assert load_config({}) == Config()


def test_the_default_ports_are_those_of_the_design() -> None:
    config = load_config({})
    assert (config.http_port, config.rest_port, config.grpc_port, config.metrics_port) == (3000, 8000, 8001, 8002)


@pytest.mark.parametrize("port", ["http_port", "rest_port", "grpc_port", "metrics_port"])
def test_a_port_is_a_number_from_1_to_65535(port: str) -> None:
    for number in (1, 65535):
        assert getattr(load_config({f"LECTORIUM_{port.upper()}": str(number)}), port) == number
    for number in (0, 65536):
        with pytest.raises(InvalidConfig, match=f"configuration: {port}: "):
            load_config({f"LECTORIUM_{port.upper()}": str(number)})


@pytest.mark.parametrize(
    "count", ["workers", "lanes", "intra_op", "max_queue_rows", "max_request_bytes", "max_image_pixels"]
)
def test_a_count_is_at_least_one(count: str) -> None:
    assert getattr(load_config({f"LECTORIUM_{count.upper()}": "1"}), count) == 1
    with pytest.raises(InvalidConfig, match=f"configuration: {count}: "):
        load_config({f"LECTORIUM_{count.upper()}": "0"})


def test_other_programs_variables_are_none_of_ours() -> None:
    assert load_config({"PATH": "/bin", "REST_PORT": "1", "MYLECTORIUM_REST_PORT": "1"}) == Config()


def test_a_variable_sets_the_field_of_its_name_in_the_fields_type() -> None:
    config = load_config(
        {"LECTORIUM_REST_PORT": "9000", "LECTORIUM_TIMEOUT_S": "1.5", "LECTORIUM_REPOSITORY": "/srv/zoo"}
    )
    assert (config.rest_port, config.timeout_s, config.repository) == (9000, 1.5, Path("/srv/zoo"))


def test_a_policy_and_names_are_read_from_a_variable() -> None:
    config = load_config(
        {
            "LECTORIUM_VERSION_POLICY": "specific:1,3",
            "LECTORIUM_MODEL_CONTROL": "explicit",
            "LECTORIUM_LOAD_MODELS": "lenet5, mlp",
        }
    )
    assert str(config.version_policy) == "specific:1,3"
    assert config.load_models == ("lenet5", "mlp")
    assert load_config({"LECTORIUM_MODEL_CONTROL": "explicit", "LECTORIUM_LOAD_MODELS": ""}).load_models == ()
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_default_models_are_pairs_of_a_task_and_a_model() -> None:
    config = load_config({"LECTORIUM_DEFAULT_MODELS": "caption=flickr-attention-scst, classify = lenet5"})
    assert config.default_models == {"caption": "flickr-attention-scst", "classify": "lenet5"}
    assert Config.model_validate_json(config.model_dump_json()) == config
    assert load_config({"LECTORIUM_DEFAULT_MODELS": ""}).default_models == {}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("lenet5", r"'lenet5' has no '='; pairs as 'classify=lenet5,caption=scenes-attention' are allowed"),
        ("classify=mlp,classify=lenet5", r"a task is named twice: \['classify', 'classify'\]"),
        ("classify=../lenet5", r"classify: String should match"),
    ],
)
def test_a_default_model_that_cannot_be_read_is_refused(value: str, why: str) -> None:
    with pytest.raises(InvalidConfig, match=r"configuration: default_models[.:] ?" + why):
        load_config({"LECTORIUM_DEFAULT_MODELS": value})


def test_models_are_named_for_the_start_only_where_others_may_be_loaded_later() -> None:
    with pytest.raises(InvalidConfig, match="load_models is set and model_control is poll; it needs explicit"):
        load_config({"LECTORIUM_MODEL_CONTROL": "poll", "LECTORIUM_LOAD_MODELS": "lenet5"})
    with pytest.raises(InvalidConfig, match=r"configuration: load_models\.0: "):
        load_config({"LECTORIUM_MODEL_CONTROL": "explicit", "LECTORIUM_LOAD_MODELS": "../lenet5"})


def test_the_toml_file_sets_fields_and_a_variable_wins_over_it(toml: Path) -> None:
    toml.write_text('rest_port = 9000\ngrpc_port = 9001\n[default_models]\nclassify = "mlp"\n')
    config = load_config({"LECTORIUM_CONFIG": str(toml), "LECTORIUM_GRPC_PORT": "9002"})
    assert (config.rest_port, config.grpc_port, config.default_models) == (9000, 9002, {"classify": "mlp"})
    assert config.http_port == Config().http_port


def test_an_empty_file_name_means_no_file() -> None:
    assert load_config({"LECTORIUM_CONFIG": ""}) == Config()


WRONG = {
    "unknown": ("rest_prt", "9000"),
    "not_a_number": ("rest_port", "nine"),
    "fraction": ("lanes", "1.5"),
    "empty": ("lanes", ""),
    "negative": ("max_queue_rows", "-1"),
    "no_time": ("timeout_s", "0"),
    "not_a_time": ("drain_s", "nan"),
    "not_a_level": ("log_level", "loud"),
    "not_a_control": ("model_control", "sometimes"),
    "no_time_between_looks": ("poll_s", "0"),
    "not_a_policy": ("version_policy", "newest"),
    "rows_without_bound": ("default_max_batch", "1025"),
    "no_end_of_time": ("timeout_s", "inf"),
    "more_than_a_day": ("drain_s", "1e300"),
    "workers_without_bound": ("workers", "1000000"),
    "lanes_without_bound": ("lanes", "100000000"),
    "threads_without_bound": ("intra_op", "99999999"),
    "bytes_without_bound": ("max_request_bytes", "99999999999"),
}
every_wrong_setting = pytest.mark.parametrize(("key", "value"), WRONG.values(), ids=list(WRONG))


@every_wrong_setting
def test_a_wrong_variable_is_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(InvalidConfig, match=f"configuration: {key}: "):
        load_config({f"LECTORIUM_{key.upper()}": value})


@every_wrong_setting
def test_a_wrong_key_of_the_file_is_refused_by_name(key: str, value: str, toml: Path) -> None:
    toml.write_text(f'{key} = "{value}"\n')
    with pytest.raises(InvalidConfig, match=f"configuration: {key}: "):
        load_config({"LECTORIUM_CONFIG": str(toml)})


def test_all_wrong_settings_are_named_at_once(toml: Path) -> None:
    toml.write_text("lanes = []\n[surfaces]\nrest = 1\n")
    with pytest.raises(InvalidConfig) as refused:
        load_config({"LECTORIUM_CONFIG": str(toml), "LECTORIUM_GRPC_PORT": "x"})
    assert all(f"{key}: " in str(refused.value) for key in ("lanes", "surfaces", "grpc_port"))


@pytest.mark.parametrize("content", [b"rest_port 9000", b"rest_port = 1\nrest_port = 2", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_refused_by_name(content: bytes, toml: Path) -> None:
    toml.write_bytes(content)
    with pytest.raises(InvalidConfig, match=rf"LECTORIUM_CONFIG=.*{toml.name}"):
        load_config({"LECTORIUM_CONFIG": str(toml)})


def test_a_missing_file_is_refused_by_name(toml: Path) -> None:
    with pytest.raises(InvalidConfig, match=rf"LECTORIUM_CONFIG=.*{toml.name}"):
        load_config({"LECTORIUM_CONFIG": str(toml)})


def test_a_folder_for_a_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=rf"LECTORIUM_CONFIG=.*{tmp_path.name}"):
        load_config({"LECTORIUM_CONFIG": str(tmp_path)})


LINKS = {
    "LECTORIUM_SERVICE_HOST": "10.0.0.1",
    "LECTORIUM_SERVICE_PORT": "3000",
    "LECTORIUM_SERVICE_PORT_HTTP": "3000",
    "LECTORIUM_SERVICE_PORT_OPEN_INFERENCE": "8000",
    "LECTORIUM_PORT": "tcp://10.0.0.1:3000",
    "LECTORIUM_PORT_3000_TCP": "tcp://10.0.0.1:3000",
    "LECTORIUM_PORT_3000_TCP_PROTO": "tcp",
    "LECTORIUM_PORT_3000_TCP_PORT": "3000",
    "LECTORIUM_PORT_3000_TCP_ADDR": "10.0.0.1",
    "LECTORIUM_PORT_53_UDP": "udp://[fd00::1]:53",
}


@pytest.mark.parametrize("service", ["", "HTTP_", "REST_", "GRPC_", "METRICS_", "CONFIG_", "A_PORT_"])
def test_what_kubernetes_sets_for_a_service_of_our_name_sets_nothing(service: str) -> None:
    links = {name.replace("LECTORIUM_", f"LECTORIUM_{service}", 1): value for name, value in LINKS.items()}
    assert load_config({**links, "LECTORIUM_LANES": "2"}) == Config(lanes=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "3000"), ("HTTP_PORT", "nine"), ("SERVICE", "x"), ("PORT_HTTP", "1"), ("HOSTS", "tcp://10.0.0.1:3000")],
)
def test_what_is_no_link_to_a_service_is_a_setting(name: str, value: str) -> None:
    with pytest.raises(InvalidConfig, match=f"configuration: {name.lower()}: "):
        load_config({**LINKS, f"LECTORIUM_{name}": value})


@pytest.mark.parametrize(("wrong", "meant"), [("rest_prt", "rest_port"), ("worker", "workers"), ("devise", "device")])
def test_an_unknown_setting_is_refused_with_the_nearest_there_is(wrong: str, meant: str, toml: Path) -> None:
    toml.write_text(f'{wrong} = "1"\n')
    for environ in ({f"LECTORIUM_{wrong.upper()}": "1"}, {"LECTORIUM_CONFIG": str(toml)}):
        with pytest.raises(InvalidConfig, match=f"{wrong}: no such setting; did you mean '{meant}'"):
            load_config(environ)


def test_an_unknown_setting_that_is_near_none_is_refused_all_the_same() -> None:
    with pytest.raises(InvalidConfig, match=r"zzz: no such setting$"):
        load_config({"LECTORIUM_ZZZ": "1"})


def test_an_unknown_key_of_a_policy_is_refused_with_the_nearest_there_is(toml: Path) -> None:
    toml.write_text("[version_policy]\nlates = {num_versions = 2}\n")
    with pytest.raises(InvalidConfig, match=r"version_policy\.lates: no such setting; did you mean 'latest'\?"):
        load_config({"LECTORIUM_CONFIG": str(toml)})


def test_two_equal_ports_are_refused_by_their_names() -> None:
    with pytest.raises(InvalidConfig, match=r"configuration: http_port and rest_port are both 8000; they must differ$"):
        load_config({"LECTORIUM_HTTP_PORT": "8000"})
    with pytest.raises(InvalidConfig, match="grpc_port and metrics_port are both 9000"):
        load_config({"LECTORIUM_GRPC_PORT": "9000", "LECTORIUM_METRICS_PORT": "9000"})


def test_the_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().rest_port = 1  # type: ignore[misc]


@pytest.mark.parametrize("token", ["", "two words", "naïve", "line\nbreak"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(InvalidConfig, match="configuration: control_token: ") as refused:
        load_config({"LECTORIUM_CONTROL_TOKEN": token})
    assert not token or token not in str(refused.value)


def test_hosts_are_names_in_small_letters() -> None:
    config = load_config({"LECTORIUM_ALLOWED_HOSTS": "Models.Example, triton-1"})
    assert config.allowed_hosts == ("models.example", "triton-1")
    for wrong in ("*", "models.example:8000", "http://models.example", "a b"):
        with pytest.raises(InvalidConfig, match=r"configuration: allowed_hosts\.0: "):
            load_config({"LECTORIUM_ALLOWED_HOSTS": wrong})
