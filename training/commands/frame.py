"""What the commands share: the default folders, and the way errors are reported."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from service.errors import LectoriumError
from training.errors import TrainingError

INSTALL = "pip install 'lectorium[train]' (in a checkout: pip install -e '.[train]')"
ZOO = Path("models/zoo")
FOLDER = click.Path(path_type=Path, file_okay=False)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Report an error that the user can fix in one line, with exit status 1; any other error keeps its traceback."""
    try:
        yield
    except (TrainingError, LectoriumError) as error:
        raise click.ClickException(str(error)) from error
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        raise click.ClickException(f"training needs {library}, which is not installed: {INSTALL}") from error
