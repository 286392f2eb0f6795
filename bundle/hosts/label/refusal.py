"""The HTTP status and reason of an error."""

from __future__ import annotations

import errno
from http import HTTPStatus
from typing import Any

from bundle.refusals import reason_of

FULL = (errno.ENOSPC, errno.EDQUOT)


def refusal(error: BaseException) -> tuple[int, str] | None:
    """Status and reason for the client; None for errors that are faults of the program.

    507 if a disk or a limit of the server is full, else 400.
    """
    text = reason_of(error)
    if text is None:
        msg: Any = getattr(error, "msg", None)  # of MONAILabelException
        return (HTTPStatus.BAD_REQUEST.value, msg) if type(error).__module__.startswith("monailabel.") else None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FULL:
            return HTTPStatus.INSUFFICIENT_STORAGE.value, text
        cause = cause.__cause__ or cause.__context__
    return HTTPStatus.BAD_REQUEST.value, text
