import socket
from importlib.metadata import EntryPoint, entry_points

import click
import pytest
from click.testing import CliRunner

from service import __version__, commands
from service.commands import GROUP, main


def test_every_installed_command_is_listed() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert "serve" in result.output
    assert all(name in result.output for name in entry_points(group=GROUP).names)


def test_an_unknown_command_is_refused_by_name() -> None:
    result = CliRunner().invoke(main, ["sevre"])
    assert result.exit_code == 2
    assert "No such command 'sevre'" in result.output


def test_the_version_is_the_packages() -> None:
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


def test_a_wrong_setting_ends_serve_with_its_name_and_no_traceback() -> None:
    result = CliRunner(env={"LECTORIUM_REST_PRT": "8000"}).invoke(main, ["serve"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: configuration: rest_prt: no such setting; did you mean 'rest_port'")
    assert "Traceback" not in result.output


def test_workers_are_set_on_the_command_line() -> None:
    result = CliRunner().invoke(main, ["serve", "--workers", "0"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: configuration: workers: ")


def test_several_workers_are_refused_a_taken_port_before_any_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"LECTORIUM_HTTP_PORT": str(port), "LECTORIUM_REPOSITORY": "nowhere"}
        result = CliRunner(env=settings).invoke(main, ["serve", "--workers", "2"])
    assert result.output == (
        f"Error: HTTP cannot listen on 127.0.0.1:{port}: Address already in use; LECTORIUM_HTTP_PORT sets another\n"
    )


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (
            "nowhere.commands:train [train]",
            r"train needs nowhere, which is not installed: pip install 'lectorium\[train\]'",
        ),
        ("nowhere.commands:train", "train needs nowhere, which is not installed: install Lectorium completely"),
    ],
)
def test_a_command_whose_room_is_not_installed_says_what_to_install(value: str, advice: str) -> None:
    with pytest.raises(click.ClickException, match=advice):
        commands._load(EntryPoint("train", value, GROUP))
