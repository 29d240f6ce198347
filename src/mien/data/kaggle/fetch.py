"""Download FER2013 from Kaggle, under the user's own account, and check what came.

Kaggle's files may not be redistributed, so mien cannot ship them. kagglehub does the transfer; this module
decides where things go and lets no secret out: what kagglehub and the libraries below it print, log or raise
is never passed on, because it can hold request headers, signed addresses or the text of a credentials file.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import ModuleType

from mien.data.kaggle.manifest import FER2013, MANIFEST, Manifest, Release, check_unchanged, verify
from mien.data.kaggle.remedies import credentials_help, credentials_source, explain, status_of
from mien.errors import CredentialsError, DownloadError, MissingExtra

# Kept between runs, so that a download that was cut goes on where it stopped.
_STAGING = ".partial"


@dataclass(frozen=True)
class Fetched:
    """Where the data lies, what it is, and whether it was downloaded just now."""

    path: Path
    manifest: Manifest
    downloaded: bool


def fetch(out: Path, *, force: bool = False, release: Release = FER2013) -> Fetched:
    """FER2013 in the folder `out`, verified, with a manifest beside it.

    A file that is already there is verified and kept: against its manifest if it has one, otherwise by its
    rows and known hashes. Nothing unverified ever stands under its final name.

    Args:
        out: made if it does not exist.
        force: download even if the file is there.
        release: what to download and to expect.

    Raises:
        CredentialsError: Kaggle credentials are missing or refused, or the rules are not accepted.
        DownloadError: the transfer failed, or what is there or came is not what it should be.
        MissingExtra: kagglehub is not installed.
    """
    present = _present(out, release)
    if present is not None and not force:
        manifest = Manifest.read(out)
        if manifest is None:
            manifest = verify(present, release)
            manifest.write(out)
        else:
            check_unchanged(present, manifest)
        return Fetched(present, manifest, downloaded=False)
    kagglehub = _import_kagglehub()
    _require_credentials(release)
    staging = _make(out / _STAGING)
    try:
        came = _download(kagglehub, release, staging)
    finally:
        _leave_no_empty_folder(staging)
    try:
        manifest = verify(came, release)
    except DownloadError as error:
        # Bad bytes must not be taken for a part of a download that can go on.
        shutil.rmtree(staging)
        raise DownloadError(f"What Kaggle sent was not kept: {error}") from error
    path = out / came.name
    # In this order a crash leaves a file without a manifest, which the next fetch verifies by its rows.
    (out / MANIFEST).unlink(missing_ok=True)
    came.replace(path)
    manifest.write(out)
    shutil.rmtree(staging)
    return Fetched(path, manifest, downloaded=True)


def _present(out: Path, release: Release) -> Path | None:
    return next((out / name for name in release.files if (out / name).is_file()), None)


def _make(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(
            f"{folder} cannot be made ({error.strerror}). Choose another folder with --out."
        ) from error
    return folder


def _leave_no_empty_folder(staging: Path) -> None:
    if not any(path.is_file() for path in staging.rglob("*")):
        shutil.rmtree(staging)
        if not any(staging.parent.iterdir()):
            staging.parent.rmdir()


def _download(kagglehub: ModuleType, release: Release, staging: Path) -> Path:
    """A file of the release, downloaded into `staging`: the preferred one alone, which is a third of the
    whole; all of them where Kaggle does not know it by its name.

    The error is raised outside of the handler, so that no exception of kagglehub's hangs on it.
    """
    failure: DownloadError
    for name in (release.files[0], None):
        try:
            with _kept_quiet(), _cache_in(staging):
                got = Path(kagglehub.competition_download(release.competition, path=name))
            return _settle(got, staging, release)
        except DownloadError:
            raise
        except Exception as error:
            failure = explain(error, release, staging)
            missing = status_of(error) == HTTPStatus.NOT_FOUND
        if not missing:
            break
    raise failure


def _settle(got: Path, staging: Path, release: Release) -> Path:
    """The wanted file, in `staging`: of all that came, or out of the mount of a Kaggle notebook."""
    if got.is_dir():
        found = _present(got, release)
        if found is None:
            names = ", ".join(sorted(entry.name for entry in got.iterdir())) or "nothing"
            raise DownloadError(
                f"Kaggle sent none of {', '.join(release.files)} for {release.url}, but: {names}. "
                f"Look at {release.url}/data, and read what you find there with: mien data info PATH"
            )
        got = found
    if staging.resolve() not in got.resolve().parents:
        return Path(shutil.copyfile(got, staging / got.name))
    return got


def _import_kagglehub() -> ModuleType:
    try:
        import kagglehub
    except ImportError:
        raise MissingExtra("Downloading from Kaggle", "data") from None
    module: ModuleType = kagglehub
    return module


def _require_credentials(release: Release) -> None:
    from kagglehub.config import get_kaggle_credentials

    unreadable = False
    found = None
    try:
        found = get_kaggle_credentials() is not None
    except (ValueError, OSError):
        # The parser's error carries the text of the file, key and all: it goes no further.
        unreadable = True
    if unreadable:
        raise CredentialsError(
            f"{credentials_source()} holds no Kaggle credentials that can be read: it should be the file "
            f"that Kaggle gave you, unchanged. To get a new one:\n{credentials_help(release)}"
        )
    if not found:
        raise CredentialsError(
            "Kaggle credentials are missing: FER2013 is downloaded under your own Kaggle account.\n"
            + credentials_help(release)
        )


@contextmanager
def _kept_quiet() -> Iterator[None]:
    """Nothing that kagglehub prints or logs gets out; its progress bar, on stderr, does.

    kagglehub logs to the stdout that it found at import, and prints whole requests in its test environment.
    """
    loggers = [logging.getLogger(name) for name in ("kagglehub", "kagglesdk", "urllib3")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _cache_in(staging: Path) -> Iterator[None]:
    """Let kagglehub download into `staging`.

    By its cache, because with `output_dir` it refuses to go on with a part of a file.
    """
    before = os.environ.get("KAGGLEHUB_CACHE")
    os.environ["KAGGLEHUB_CACHE"] = str(staging.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ["KAGGLEHUB_CACHE"]
        else:
            os.environ["KAGGLEHUB_CACHE"] = before
