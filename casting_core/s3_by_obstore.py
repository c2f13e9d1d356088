"""Objects of S3 read by obstore, written in Rust: a third of the processor time of s3fs for each small picture.

Only reading differs: listings go through s3fs all the same. The package comes with the extra `obstore`.
"""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.session import get_session

from casting_core.errors import InvalidInput, StorageDenied
from casting_core.storage import ObjectStore, ObjectVersion, S3Store
from casting_core.storage_errors import DELETED, FORBIDDEN, OVERWRITTEN, WRONG_CREDENTIALS, refused, unanswered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from obstore.store import S3Credential

    from casting_core.types import Rejection

__all__ = ["ObstoreS3Store"]

# botocore's own number of tries, where nobody has set one.
_TRIES = 5
_TIMEOUT_SECONDS = 60.0
# Keys that expire are asked for again this often; botocore renews them in time.
_KEYS_HOLD = timedelta(minutes=5)


class ObstoreS3Store(S3Store):
    """A bucket behind the S3 API, read by obstore. One GET an object, refused when the object has changed."""

    def __init__(self, filesystem: Any, root: str, *, options: Mapping[str, Any]) -> None:
        super().__init__(filesystem, root)
        self._bucket_name = self._root.split("/", 1)[0]
        self._bucket = _open_bucket(self._bucket_name, options)

    def fetch(self, objects: Sequence[ObjectVersion]) -> dict[ObjectVersion, bytes | Rejection]:
        """As ObjectStore.fetch: threads wait for the answers, and the work is done outside Python."""
        return ObjectStore.fetch(self, objects)

    def _fetch_one(self, wanted: ObjectVersion) -> bytes | Rejection:
        from obstore import exceptions  # noqa: PLC0415 - an extra

        uri, etag = wanted
        key = uri.removeprefix(f"s3://{self._bucket_name}/")
        try:
            return bytes(self._bucket.get(key, options={"if_match": f'"{etag}"'}).bytes())
        except exceptions.PreconditionError:
            return OVERWRITTEN
        except FileNotFoundError:
            return DELETED
        except exceptions.PermissionDeniedError as error:
            if any(code in str(error) for code in WRONG_CREDENTIALS):
                raise refused(uri, _first_line(error)) from error
            return FORBIDDEN
        except exceptions.UnauthenticatedError as error:
            raise refused(uri, _first_line(error)) from error
        except exceptions.BaseError as error:
            raise unanswered(uri, _first_line(error)) from error


def _open_bucket(name: str, options: Mapping[str, Any]) -> Any:
    """Open a bucket by the options that s3fs takes. Raises InvalidInput where obstore is not installed."""
    if importlib.util.find_spec("obstore") is None:
        raise InvalidInput(
            "Objects are to be read by obstore (CASTING_S3_CLIENT), which is not installed. Install it with "
            "pip install 'casting-inspection[obstore]', or set CASTING_S3_CLIENT=s3fs."
        )
    from obstore.store import S3Store as Bucket  # noqa: PLC0415 - an extra

    session, config = get_session(), options.get("config_kwargs", {})
    endpoint = options.get("endpoint_url")
    region = options.get("client_kwargs", {}).get("region_name") or session.get_config_variable("region")
    timeout = timedelta(seconds=config.get("read_timeout", _TIMEOUT_SECONDS))
    tries = session.get_config_variable("max_attempts") or _TRIES
    retries = config.get("retries", {}).get("max_attempts", int(tries) - 1)
    return Bucket(
        name,
        **({"endpoint": endpoint} if endpoint else {}),
        **({"region": region} if region else {}),
        virtual_hosted_style_request=False,
        client_options={
            "allow_http": str(endpoint).startswith("http://"),
            # One connection for all requests is no gain over many for pictures, and not every store speaks HTTP 2.
            "http1_only": True,
            "timeout": timeout,
            "connect_timeout": timeout,
        },
        retry_config={"max_retries": retries},
        credential_provider=_Keys(options, session),
    )


class _Keys:
    """The keys that were given, or else those that botocore finds: environment, profile, role of the machine."""

    def __init__(self, options: Mapping[str, Any], session: Any) -> None:
        self._options = options
        self._session = session

    def __call__(self) -> S3Credential:
        if self._options.get("key"):
            return {
                "access_key_id": self._options["key"],
                "secret_access_key": self._options["secret"],
                "token": self._options.get("token"),
                "expires_at": None,
            }
        found = self._session.get_credentials()
        if found is None:
            raise StorageDenied("There are no credentials for S3. Set CASTING_S3_ACCESS_KEY_ID and its secret.")
        keys = found.get_frozen_credentials()
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": datetime.now(tz=UTC) + _KEYS_HOLD,
        }


def _first_line(error: Exception) -> str:
    # What follows is the server's whole answer, and how the library was built.
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
