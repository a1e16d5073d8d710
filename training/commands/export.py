"""`lectorium export`."""

from pathlib import Path

import click

from service.config import load_config
from training.commands.frame import FOLDER, ZOO, plain_errors


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--repository", type=FOLDER, default=ZOO, show_default=True, help="Where packages live.")
@click.option("--version", type=click.IntRange(1), help="[default: the next free one]")
@click.option("--replace", is_flag=True, help="Replace the version if it exists.")
def export(run: Path, repository: Path, version: int | None, replace: bool) -> None:
    """Write the package of a finished RUN.

    Refuses where the graph differs from torch, or the package misses the accuracy gate.
    """
    with plain_errors():
        from training.export import export as export_run

        package = export_run(run, repository, version=version, replace=replace, data=load_config().data)
        provenance = package.classifier.provenance
        click.echo(f"{package.folder}: test accuracy {provenance.metrics['accuracy']:.4f} through the serving engine")
        worst = max(provenance.parity.values())
        click.echo(f"parity {worst:.1e}, {provenance.parameters:,} parameters, {provenance.macs:,} MACs")
