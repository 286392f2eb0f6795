"""What a command line says about an error: the reason of a refused input in one last line."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

# Exit codes: bad input; the verdict on a result; Ctrl-C or SIGTERM, the code of shells for the former
REFUSED, FAILED, STOPPED = 2, 3, 130
OURS = [Path(__file__).absolute().parents[1] / folder for folder in ("bundle", "scripts")]
MONAI_COMMAND = "monai.bundle.__main__"


def reason_of(error: BaseException) -> str | None:
    """Why our own checks refused the input; None for other errors, which are faults of the program.

    MONAI wraps the errors of transforms and config components several times: the outermost ValueError that our own code
    raised, or OSError, is the reason.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:  # of the system: a full disk, a forbidden folder
            return f"{cause.filename}: {cause.strerror}" if cause.filename else cause.strerror
        if isinstance(cause, OSError) or (isinstance(cause, ValueError) and _is_raised_by_us(cause)):
            return str(cause).strip()
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def refusals(*, debug: bool = False) -> Iterator[None]:
    """Ends the process with the reason as the last line of standard error, without a traceback.

    Args:
        debug: let every error pass, for its traceback.
    Raises: SystemExit with `REFUSED` for a refused input, with `STOPPED` after Ctrl-C or SIGTERM; other errors pass.
    """
    _stop_on_termination()
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        text = "stopped" if isinstance(error, KeyboardInterrupt) else reason_of(error)
        if debug or text is None:
            raise
        _say(text)
        raise SystemExit(STOPPED if isinstance(error, KeyboardInterrupt) else REFUSED) from None


def is_monai_command() -> bool:
    """Whether this process is `python -m monai.bundle`."""
    return getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", None) == MONAI_COMMAND


def show_reasons_last() -> None:
    """In configs, for `python -m monai.bundle run`: report refused inputs as the scripts do; MONAI_DEBUG=1 does not.

    Other processes that run a config are unchanged.
    """
    from monai.utils.misc import MONAIEnvVars

    if is_monai_command() and not MONAIEnvVars.debug():
        _stop_on_termination()
        logging.getLogger("ignite").setLevel(logging.CRITICAL)  # it repeats every error
        sys.excepthook = _report


def _stop_on_termination() -> None:
    """Treat SIGTERM, which batch systems send, as Ctrl-C: nothing half-written is left."""
    if threading.current_thread() is threading.main_thread():  # others cannot set handlers
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _report(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        _say("stopped")
        raise SystemExit(STOPPED)
    text = reason_of(error)
    if text is None:
        sys.__excepthook__(kind, error, traceback)
        return
    _say(text)
    raise SystemExit(REFUSED)


def _say(text: str) -> None:
    """Write a message whose first line is the reason: details first, the reason as the last line."""
    if "tqdm" in sys.modules:  # an open progress bar would share the line, or end it later
        for bar in list(getattr(sys.modules["tqdm"].tqdm, "_instances", ())):
            bar.close()
    sys.stdout.flush()
    reason, *details = [line.strip() for line in text.splitlines() if line.strip()] or ["unknown error"]
    sys.stderr.write("\n".join([*details, reason.removesuffix(":")]) + "\n")
    sys.stderr.flush()


def _is_raised_by_us(error: BaseException) -> bool:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    file = Path(traceback.tb_frame.f_code.co_filename).absolute()  # not resolved: caches link every file elsewhere
    return any(folder in file.parents for folder in OURS)
