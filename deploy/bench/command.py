"""What the two benches share: their command line, and printing each row when it is measured."""

import argparse
from collections.abc import Collection, Iterable, Iterator

from deploy.bench.plan import FULL, QUICK, Plan
from deploy.bench.table import Row


def read_arguments(name: str, description: str, sections: Collection[str]) -> tuple[list[str], Plan]:
    """The given sections, or all without one, and how long to measure; an unknown section ends the process."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(sections)}; all without one")
    parser.add_argument("--quick", action="store_true", help="short runs, to see that it works, not how fast it is")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(sections):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(sections)}")
    return arguments.sections or list(sections), QUICK if arguments.quick else FULL


def told(rows: Iterable[Row]) -> Iterator[Row]:
    """The same rows, each printed as soon as it is measured."""
    for row in rows:
        print(f"{row.what}: {row.value:.4g} {row.unit}", flush=True)
        yield row
