"""What storage says when it does not give an object, in this package's own words: whatever fsspec library reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from casting_core.errors import StorageDenied, StorageUnavailable
from casting_core.types import Rejection

if TYPE_CHECKING:
    from collections.abc import Mapping

# Libraries whose errors mean that a request did not come through.
_TRANSPORTS = frozenset(
    {"aiohttp", "aiobotocore", "botocore", "urllib3", "requests", "google", "gcsfs", "azure", "adlfs"}
)
# S3's words for credentials that are wrong as such, whatever the object.
WRONG_CREDENTIALS = frozenset(
    {
        "AccountProblem",
        "AllAccessDisabled",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "NotSignedUp",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
# Why an object cannot be had, whatever reads it.
OVERWRITTEN = Rejection(reason="missing", detail="overwritten after it was listed; the new picture is another image")
DELETED = Rejection(reason="missing", detail="deleted after it was listed")
FORBIDDEN = Rejection(reason="access_denied", detail="the storage credentials may not read this object")


def rejected(error: Exception, uri: str) -> Rejection:
    """Tell an object that cannot be had from a storage that is in trouble, which raises."""
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return DELETED
    if not isinstance(error, PermissionError) or _code(error) in WRONG_CREDENTIALS:
        raise_translated(error, uri)
    return FORBIDDEN


def answer_of(error: Exception) -> Mapping[str, Any]:
    """What S3 answered, where an answer of it led to the error."""
    answer: Mapping[str, Any] = getattr(error.__cause__, "response", {})
    return answer


def _code(error: Exception) -> str:
    return str(answer_of(error).get("Error", {}).get("Code", ""))


def raise_translated(error: Exception, what: str) -> NoReturn:
    """Raise what storage said as an error of this package; a defect of the program stays what it is."""
    kind = type(error)
    is_refusal = isinstance(error, PermissionError) or "Credentials" in kind.__name__
    if is_refusal or _code(error) in WRONG_CREDENTIALS:
        raise refused(what, str(error)) from error
    if isinstance(error, OSError | TimeoutError | EOFError) or kind.__module__.split(".")[0] in _TRANSPORTS:
        raise unanswered(what, f"{kind.__name__}: {error}") from error
    raise error


def refused(what: str, said: str) -> StorageDenied:
    """The error for credentials that storage does not accept, with its words."""
    return StorageDenied(
        f"Access to {what} was refused: {said}. Check the credentials and their rights to list and read."
    )


def unanswered(what: str, said: str) -> StorageUnavailable:
    """The error for a storage in trouble, with its words."""
    return StorageUnavailable(
        f"Storage did not answer for {what}: {said.rstrip('.')}. Check the network and the address, then try again."
    )
