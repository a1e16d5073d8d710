from http import HTTPStatus

import grpc
import pytest

from service import errors
from service.errors import InternalError, LectoriumError

CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, LectoriumError)]
# 499 is nginx's word for a caller that left; no standard has it.
STATUSES = {status.value for status in HTTPStatus if status >= 400} | {499}
OUR_FAULT = {"INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"}


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_has_a_status_of_http_and_of_grpc(error: type[LectoriumError]) -> None:
    assert error.http_status in STATUSES
    assert grpc.StatusCode[error.grpc_code] is not grpc.StatusCode.OK


@pytest.mark.parametrize("error", [error for error in CLASSES if error.grpc_code != "UNIMPLEMENTED"])
def test_http_and_grpc_agree_whose_fault_it_is(error: type[LectoriumError]) -> None:
    assert (error.http_status >= 500) == (error.grpc_code in OUR_FAULT)


def test_no_two_errors_share_a_reason_but_the_base_and_internal_error() -> None:
    reasons = [error.reason for error in CLASSES if error is not InternalError]
    assert len(set(reasons)) == len(reasons)
