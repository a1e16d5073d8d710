"""`lectorium`: the commands are installed under the entry-point group ``lectorium.commands``."""

import asyncio
import logging
import os
from importlib.metadata import EntryPoint, entry_points

import click

from service import __version__
from service.config import PREFIX, Config, load_config
from service.errors import LectoriumError

GROUP = "lectorium.commands"


class Commands(click.Group):
    """Loads each command only when it is called, so that serving never imports training."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the installed commands."""
        return sorted(entry_points(group=GROUP).names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None if it is not installed."""
        found = entry_points(group=GROUP, name=cmd_name)
        return _load(next(iter(found))) if found else None


@click.group(cls=Commands)
@click.version_option(__version__)
def main() -> None:
    """Train, export, measure and serve the vision models of a deep-learning lecture."""


@click.command()
@click.option("--workers", help="Processes that share the ports and divide the cores; as LECTORIUM_WORKERS.")
def serve(workers: str | None) -> None:
    """Serve the packages of a repository over HTTP and gRPC.

    Configured by LECTORIUM_* variables and an optional TOML file named by LECTORIUM_CONFIG.
    """
    try:
        config = load_config(os.environ if workers is None else {**os.environ, f"{PREFIX}WORKERS": workers})
        logging.basicConfig(level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        _serve(config)
    except LectoriumError as error:
        raise click.ClickException(str(error)) from error


def _serve(config: Config) -> None:
    # Imported here, because `lectorium --help` needs none of it, and the supervisor of workers needs no engine.
    if config.workers > 1:
        from service.surfaces.process.supervisor import supervise

        asyncio.run(supervise(config))
    else:
        import uvloop

        from service.engine.load_threads import ending_with_loads
        from service.surfaces.process.serving import serve as serve_alone

        with ending_with_loads(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_alone(config))


def _load(entry_point: EntryPoint) -> click.Command:
    try:
        command: click.Command = entry_point.load()
    except ModuleNotFoundError as error:
        extras = ",".join(entry_point.extras)
        install = f"pip install 'lectorium[{extras}]'" if extras else "install Lectorium completely"
        raise click.ClickException(
            f"{entry_point.name} needs {error.name}, which is not installed: {install}"
        ) from error
    return command
