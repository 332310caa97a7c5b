"""What goes wrong, as one line on standard error and an exit status."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

#: Exit statuses of the command line.
FINE, FAILED, USAGE, NO_SERVER, UNSAVED = 0, 1, 2, 3, 4
INTERRUPTED = 130

# Errors of a program of which the one sentence, with file and line, tells all.
_SAID = (ImportError, SyntaxError, SystemExit)


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
    """The way through the user's own code, where that is what failed and the sentence does not say all."""
    from ...runtime import boot
    from ...runtime.rebuild import sources

    cause = error.__cause__
    if not isinstance(error, boot.ApplicationFailed) or cause is None or isinstance(cause, _SAID):
        return
    # Our own frames, and those of the libraries, are in the log when that is a file.
    stack = traceback.extract_tb(cause.__traceback__)
    own = [frame for frame in stack if sources.is_ours(frame.filename)]
    if own:
        sys.stderr.write("Traceback (most recent call last):\n" + "".join(traceback.format_list(own)))
