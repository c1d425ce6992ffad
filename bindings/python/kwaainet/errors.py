"""What can go wrong. One class for each code; decide on the class or on ``code``, not on the message.

Where a builtin exception means the same, the class is one of its kind too: ``except TimeoutError`` and
``except FileNotFoundError`` work as everywhere in Python.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from . import _native


class KwaaiError(Exception):
    """An error of kwaainet.

    ``code`` is the fixed code, the same in every language; ``retryable`` says whether the same call may succeed later;
    ``context`` has named details such as ``file``, ``peer`` or ``remedy``.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    message: str
    context: Mapping[str, str]

    def __init__(self, message: str, context: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.context = MappingProxyType(dict(context or {}))

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[KwaaiError], tuple[str, dict[str, str]]]:
        return type(self), (self.message, dict(self.context))


class InvalidArgumentError(KwaaiError, ValueError):
    """An argument, a document or a message is malformed; the same call never succeeds."""

    code = "invalid_argument"


class WrongTypeError(InvalidArgumentError, TypeError):
    """An argument is of a type that cannot be: an ``InvalidArgumentError`` that is a ``TypeError`` too."""


class NotFoundError(KwaaiError, FileNotFoundError, LookupError):
    """What was named does not exist."""

    code = "not_found"


class AlreadyExistsError(KwaaiError, FileExistsError):
    """What was to be made exists already."""

    code = "already_exists"


class PermissionDeniedError(KwaaiError, PermissionError):
    """The other side, or the operating system, refuses this caller."""

    code = "permission_denied"


class UntrustedPeerError(KwaaiError, PermissionError):
    """A peer stands below the minimum tier that this node's own policy asks for."""

    code = "untrusted_peer"


class UnreachableError(KwaaiError, ConnectionError):
    """A peer could not be reached."""

    code = "unreachable"
    retryable = True


class KwaaiTimeoutError(KwaaiError, TimeoutError):
    """The deadline passed."""

    code = "timeout"
    retryable = True


class CancelledError(KwaaiError):
    """The call was cancelled. Cancelling an asyncio task raises ``asyncio.CancelledError``, as always, not this."""

    code = "cancelled"


class ClosedError(KwaaiError):
    """The handle was shut down, or belongs to the process that this one was forked from."""

    code = "closed"


class BusyError(KwaaiError, BlockingIOError):
    """Something else holds the resource just now."""

    code = "busy"
    retryable = True


class ResourceExhaustedError(KwaaiError):
    """A limit on memory, size, streams or storage was reached."""

    code = "resource_exhausted"


class CorruptDataError(KwaaiError, ValueError):
    """Stored or received data fails its checks."""

    code = "corrupt_data"


class UnsupportedError(KwaaiError, NotImplementedError):
    """This build, platform or version cannot do it; the message says why."""

    code = "unsupported"


class ConflictError(KwaaiError):
    """The state changed underneath the call."""

    code = "conflict"
    retryable = True


class KwaaiIOError(KwaaiError, OSError):
    """The operating system reported a failure of a file or a socket."""

    code = "io"


class InternalError(KwaaiError, RuntimeError):
    """A defect of kwaainet."""

    code = "internal"


BY_CODE: Mapping[str, type[KwaaiError]] = MappingProxyType(
    {
        error.code: error
        for error in (
            InvalidArgumentError,
            NotFoundError,
            AlreadyExistsError,
            PermissionDeniedError,
            UntrustedPeerError,
            UnreachableError,
            KwaaiTimeoutError,
            CancelledError,
            ClosedError,
            BusyError,
            ResourceExhaustedError,
            CorruptDataError,
            UnsupportedError,
            ConflictError,
            KwaaiIOError,
            InternalError,
        )
    }
)


class NativeCause(Exception):
    """A failure underneath, outside Python; the ``__cause__`` of an error."""


def from_native(code: str, message: str, context: dict[str, str], cause: str | None) -> KwaaiError:
    """The exception for an error of the native module."""
    error = BY_CODE.get(code, InternalError)(message, context)
    if cause is not None:
        error.__cause__ = _recalled(cause) or NativeCause(cause)
    return error


#: The last exceptions of the app's own code with what the library says of each, until they come back to the app. Few:
#: one that nobody asks for keeps what its traceback holds.
_foreign: deque[tuple[str, BaseException]] = deque(maxlen=16)


def described(error: BaseException) -> tuple[str, str, str | None]:
    """Code, message and cause of an exception of the app's own code, on its way into the library."""
    if isinstance(error, KwaaiError):
        code, message = error.code, error.message
        cause = None if error.__cause__ is None else _text(error.__cause__)
    else:
        text = _text(error)
        code, cause = "internal", text or None
        message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    message = message.encode(errors="replace").decode()
    _foreign.append((message if cause is None else f"{message}: {cause}", error))
    return code, message, cause


def _recalled(cause: str) -> BaseException | None:
    for said, error in reversed(list(_foreign)):
        if cause.endswith(said):
            return error
    return None


def _text(error: BaseException) -> str:
    try:
        return str(error).encode(errors="replace").decode()
    except Exception:
        return "an exception whose text cannot be had"


__all__ = [*(error.__name__ for error in BY_CODE.values()), "BY_CODE", "KwaaiError", "NativeCause"]

assert {code for code, _, _ in _native.error_codes()} == set(BY_CODE), "this module and its native part differ"
