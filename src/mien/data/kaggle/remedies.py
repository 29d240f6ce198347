"""Messages with remedies for downloads from Kaggle that fail.

The text of another library's exception is never repeated: it can contain request headers, signed addresses
or the text of a credentials file.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from pathlib import Path

from mien.data.kaggle.manifest import FER2013, Release
from mien.errors import CredentialsError, DownloadError
from mien.files import expanded


def credentials_source() -> str | None:
    """Where kagglehub will find Kaggle credentials, such as ``"KAGGLE_API_TOKEN"``; None without any.

    The credentials may be invalid; their value is never returned.
    """
    if os.environ.get("KAGGLE_API_TOKEN"):
        return "KAGGLE_API_TOKEN"
    home = expanded("~/.kaggle")
    for token in (home / "access_token", home / "access_token.txt"):
        if _exists(token):
            return str(token)
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        return "KAGGLE_USERNAME and KAGGLE_KEY"
    legacy = Path(os.environ.get("KAGGLE_CONFIG_DIR") or home) / "kaggle.json"
    return str(legacy) if _exists(legacy) else None


def _exists(path: Path) -> bool:
    """Whether there is such a file; one in a folder that may not be entered is of no use."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises there before Python 3.14


def credentials_help(release: Release = FER2013) -> str:
    """The steps from no Kaggle account to a download, for people."""
    return f"""\
  1. Sign in at https://www.kaggle.com (an account is free).
  2. Accept the competition's rules, once: {release.url}/rules
  3. Make an API token: https://www.kaggle.com/settings/api
  4. Store it in one of these ways:
       export KAGGLE_API_TOKEN=<token>
       save the token alone as ~/.kaggle/access_token        (chmod 600)
     or, with a legacy key:
       export KAGGLE_USERNAME=<name> KAGGLE_KEY=<key>
       save the downloaded kaggle.json as ~/.kaggle/kaggle.json   (chmod 600)
  5. Run again: mien data fetch"""


def explain(error: Exception, release: Release, staging: Path) -> DownloadError:
    """What went wrong and the remedy, without the text of `error`."""
    import requests
    from kagglehub.exceptions import DataCorruptionError

    status = status_of(error)
    if status is not None:
        return _explain_status(status, error, release)
    kind = type(error).__name__
    so_far = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
    lost = isinstance(error, (requests.RequestException, ConnectionError, TimeoutError))
    if lost and (so_far or isinstance(error, requests.exceptions.ChunkedEncodingError)):
        return DownloadError(
            f"The download from Kaggle was cut ({kind}) with {so_far:,} bytes in {staging}. "
            "Run the same command again: it continues where it stopped."
        )
    if lost:
        return DownloadError(
            f"Kaggle cannot be reached ({kind}). Check the network and the proxy (HTTPS_PROXY), then run the "
            f"same command again; or download {release.files[0]} with a browser from {release.url}/data."
        )
    if isinstance(error, OSError):
        return DownloadError(
            f"The download cannot be written to {staging}: {error.strerror or kind}. "
            "Free disk space, or choose another folder with --out."
        )
    if isinstance(error, DataCorruptionError):
        return DownloadError(
            "The download does not match Kaggle's checksum and was deleted. Run the same command again."
        )
    return DownloadError(
        f"kagglehub failed ({kind}; its text may contain secrets and is not shown). Try "
        f"'pip install -U kagglehub', or download {release.files[0]} with a browser from {release.url}/data."
    )


def _explain_status(status: int, error: Exception, release: Release) -> DownloadError:
    if status == HTTPStatus.UNAUTHORIZED:
        return CredentialsError(
            f"Kaggle refused the credentials from {credentials_source()} (401). They may be old, or copied "
            f"in part. To make new ones:\n{credentials_help(release)}"
        )
    if status == HTTPStatus.FORBIDDEN:
        return CredentialsError(
            "Kaggle accepts your credentials, but does not let you download this competition (403). "
            f"Accept its rules once at {release.url}/rules while signed in to the same account (Kaggle "
            "may ask for a phone number first), then run the same command again."
        )
    if status == HTTPStatus.NOT_FOUND:
        return DownloadError(
            f"Kaggle has no such competition or file (404): {release.url}. Check that the page opens in a "
            "browser, and update kagglehub: pip install -U kagglehub"
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = getattr(error, "response").headers.get("Retry-After", "")  # noqa: B009
        when = f"in {wait} seconds" if wait.isdecimal() else "in some minutes"
        return DownloadError(f"Kaggle received too many requests (429). Run the same command again {when}.")
    return DownloadError(
        f"Kaggle answered {status} for {release.url}. From 500 on, the error is Kaggle's: try again later."
    )


def status_of(error: Exception) -> int | None:
    """The HTTP status of an exception of requests, if it has one."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return int(status) if status is not None and status >= HTTPStatus.BAD_REQUEST else None
