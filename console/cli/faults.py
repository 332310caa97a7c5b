"""What goes wrong, as one line on standard error and an exit status."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

#: Exit statuses of the command line.
FINE, FAILED, USAGE, NO_SERVER, UNSAVED = 0, 1, 2, 3, 4
INTERRUPTED = 130


class UsageError(Exception):
    """What was typed does not make sense, though each word of it does."""


def complain(message: str) -> None:
    """One line for the person who typed the command."""
    sys.stderr.write(f"midair: {message}\n")
    sys.stderr.flush()


def guarded(work: Callable[[], int]) -> int:
    """Do the work; say in one line what went wrong with it. The exit status."""
    from ...runtime.errors import MidairError
    from ...runtime.files import NoSuchServer, SeveralServers

    try:
        return work()
    except UsageError as error:
        complain(str(error))
        return USAGE
    except SeveralServers as error:
        complain(str(error))
        return USAGE
    except NoSuchServer as error:
        complain(str(error))
        return NO_SERVER
    except BrokenPipeError:
        # Who read our output has gone, as in `midair ps | head -1`. Nothing more may be written at the exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except (MidairError, OSError) as error:
        _show_cause(error)
        complain(_sentence(error))
        return FAILED


def _sentence(error: BaseException) -> str:
    if type(error) is OSError or (isinstance(error, OSError) and error.filename and str(error).startswith("[Errno")):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    return str(error)


def _show_cause(error: BaseException) -> None:
    """The traceback of the user's own code, when it is what failed."""
    import ast
    import importlib

    from ...runtime import boot

    if isinstance(error, boot.ApplicationFailed) and error.__cause__:
        shown = traceback.TracebackException.from_exception(error.__cause__)
        # Our own frames, and those of importing, say nothing to the author of the program.
        ours = (
            os.path.dirname(boot.__file__) + os.sep,
            "<frozen importlib",
            os.path.dirname(importlib.__file__),
            ast.__file__,
        )
        kept = [frame for frame in shown.stack if not frame.filename.startswith(ours)]
        if not kept and isinstance(error.__cause__, SyntaxError):
            return  # in the program itself: the sentence has its file, line and reason
        shown.stack = traceback.StackSummary.from_list(kept)
        sys.stderr.write("".join(shown.format()))
