"""The errors of single items, in the answers of calls that don't fail with them."""

from __future__ import annotations

import grpc
from google.rpc import status_pb2

from sealward import v1
from sealward._errors import SealwardError, error_of_status
from sealward._retry import may_have_taken_effect


def item_error(status: v1.ItemStatus) -> SealwardError:
    """Converts the error of one item, such as a result of an import, to the error that a call of its own would raise."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    error = error_of_status(code, status_pb2.Status.FromString(status.SerializeToString()))
    if may_have_taken_effect(error):
        error.mark_effect()
    return error


#: The codes by their numbers. Without OK, which is no error.
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode if code is not grpc.StatusCode.OK}
