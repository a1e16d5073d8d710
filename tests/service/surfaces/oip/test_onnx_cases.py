"""The whole models among ONNX's own test cases, served as they are: each answers what bare ONNX Runtime does."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.backend import test as onnx_cases

from service.engine.tensors import DATATYPES
from tests.service.surfaces.transports import Input, Rest
from tests.serving import Server

pytestmark = pytest.mark.server

DATA = Path(onnx_cases.__file__).parent / "data"
NEEDED = 100


def cases() -> dict[str, Any]:
    """A session of each case that ONNX Runtime runs here, by the folder's name."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    found: dict[str, Any] = {}
    for model in sorted(DATA.glob("*/*/model.onnx")):
        try:
            found[model.parent.name] = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception:
            continue  # operators that are no more, gradients, locales: not of its kind
    return found


def given(case: Path, session: Any) -> list[Input]:
    files = sorted((case / "test_data_set_0").glob("input_*.pb"), key=lambda file: int(file.stem.split("_")[1]))
    arrays = [numpy_helper.to_array(onnx.load_tensor(file)) for file in files]
    arrays = [array.astype(object) if array.dtype.kind in "US" else array for array in arrays]
    names = [arg.name for arg in session.get_inputs()]
    return [Input(n, DATATYPES[a.dtype], a.shape, a) for n, a in zip(names, arrays, strict=True)]


def same(found: NDArray[Any], wanted: NDArray[Any]) -> None:
    if wanted.dtype.kind == "f":  # where in memory they lie, and so who is added to whom, is seen in the last digit
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6, strict=True)
    else:
        np.testing.assert_array_equal(found, wanted, strict=True)


def test_every_case_that_onnx_runtime_runs_is_answered_as_it_answers(tmp_path: Path) -> None:
    sessions = cases()
    folders = {name: next(DATA.glob(f"*/{name}")) for name in sessions}
    for name, folder in folders.items():
        (tmp_path / "zoo" / name).mkdir(parents=True)
        (tmp_path / "zoo" / name / "1").symlink_to(folder)
    wrong: dict[str, str] = {}
    with Server(tmp_path / "zoo", tmp_path / "home", max_request_bytes=16 << 20) as server:
        rest = Rest(server, binary=True)
        for name, session in sessions.items():
            inputs = given(folders[name], session)
            wanted = session.run(None, {i.name: i.values for i in inputs})
            try:
                found = rest.infer(name, inputs).outputs
                for output, array in zip(found.values(), wanted, strict=True):
                    same(output, array)
            except Exception as error:
                wrong[name] = str(error)[:300]
        rest.close()
    assert wrong == {}
    assert len(sessions) >= NEEDED
