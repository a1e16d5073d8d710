"""A package without a card: ``model.onnx`` alone, served at tensor level by the graph's own signature."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from service.errors import InvalidPackage
from service.package.card import TensorCard
from service.package.files import sha256
from service.package.folder import Package
from service.package.graph import MAX_RUN_BYTES, FileName, Graph, TensorSpec

GRAPH = "model.onnx"
_FILE_NAME: TypeAdapter[str] = TypeAdapter(FileName)


class Signature(NamedTuple):
    """A graph's tensors, and the reason why requests must not share a run of it; "" if they may."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    stay_apart: str = ""


def bare_package(folder: Path, signature: Signature, most_rows: int) -> Package:
    """The package of the graph ``<folder>/model.onnx`` and the files beside it, such as its external data.

    Rows of several requests share a run if the first dimension of every tensor may be of any size and the signature
    gives no reason against it: at most ``most_rows``, and fewer if their tensors would take over `MAX_RUN_BYTES`. If
    all are 1, a run takes one row; otherwise it takes one request, and the card's description says why.

    Raises:
        InvalidPackage: the graph cannot be served.
    """
    graph = {
        "file": GRAPH,
        "inputs": signature.inputs,
        "outputs": signature.outputs,
        "max_batch": _max_batch(signature, most_rows),
    }
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if _is_file(path)}
    try:
        card = TensorCard(
            name=folder.parent.name,
            version=int(folder.name),
            description=f"Each request has a run of its own: {signature.stay_apart}." if signature.stay_apart else "",
            graph=Graph.model_validate(graph),
            files=files,
        )
    except ValidationError as error:
        raise InvalidPackage(f"{folder / GRAPH}: {'; '.join(e['msg'] for e in error.errors())}") from error
    return Package(folder, card)


def _max_batch(signature: Signature, most_rows: int) -> int:
    rows = _first_dimensions(signature.inputs) | _first_dimensions(signature.outputs)
    if rows == {-1}:
        if signature.stay_apart:
            return 0
        row_bytes = sum(spec.bytes_of(1) for spec in (*signature.inputs, *signature.outputs))
        return max(1, min(most_rows, MAX_RUN_BYTES // max(1, row_bytes)))
    return 1 if rows == {1} else 0


def _first_dimensions(specs: Sequence[TensorSpec]) -> set[int | None]:
    return {spec.shape[0] if spec.shape else None for spec in specs}


def _is_file(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        _FILE_NAME.validate_python(path.name)
    except ValidationError:
        return False
    return True
