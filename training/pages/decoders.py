"""Measures the decoders and writes the table of CAPTIONING.md.

    python -m training.pages.decoders runs/scenes-*

Each run is exported to a temporary folder and measured through the serving engine, on the validation split: to compare
is to choose.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from service.config import load_config
from service.package import CaptionCard
from training.captioning.package import write_captioner
from training.captioning.subject import from_run
from training.commands.frame import plain_errors
from training.history import Row
from training.pages.page import insert

PAGE = Path(__file__).parent / "CAPTIONING.md"
METRICS = ("exact_match", "bleu_4", "cider_d", "attention_mass")
HEAD = ("decoder", "parameters", "epochs", "words right", "exact match", "BLEU-4", "CIDEr-D", "attention on the digit")


@dataclass(frozen=True)
class Compared:
    """The card of a run's package, and the last epoch of the run."""

    card: CaptionCard
    last: Row

    @property
    def cells(self) -> list[str]:
        """The run's row of the table, in the order of `HEAD`."""
        found = self.card.provenance.validation
        measured = [f"{found[name]:.3f}" if name in found else "" for name in METRICS]
        said = self.card.provenance
        words = f"{self.last['validation_accuracy']:.1%}"
        return [
            self.card.title.partition(" on ")[0],
            f"{said.parameters:,}",
            f"{self.last['epoch']:.0f}",
            words,
            *measured,
        ]


def compare(run: Path, data: Path | None) -> Compared:
    """Export and measure the finished captioner's run in the folder ``run``, whose data set is in ``data``.

    Raises:
        TrainingError: as `from_run` and `write_captioner`; the recipe's gate is not checked.
    """
    subject = from_run(run, data)
    with tempfile.TemporaryDirectory() as repository:
        card = write_captioner(subject.without_gate(), Path(repository)).captioner
    return Compared(card, subject.history[-1])


def tabulate(found: list[Compared]) -> str:
    """The table in Markdown."""
    lines = [HEAD, ["---", *["---:"] * (len(HEAD) - 1)], *(each.cells for each in found)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--page", type=click.Path(path_type=Path, exists=True), default=PAGE, show_default=True)
def main(runs: tuple[Path, ...], page: Path) -> None:
    """Measure the finished RUNS and write the table of PAGE."""
    with plain_errors():
        found = [compare(run, load_config().data) for run in runs]
    page.write_text(insert(page.read_text("utf-8"), "decoders", tabulate(found)), "utf-8")
    click.echo(f"{page}: {len(found)} compared")


if __name__ == "__main__":
    main()
