"""Download FER2013 from Kaggle, under the user's own account, and check the download.

Kaggle's files may not be redistributed, so mien cannot ship them. kagglehub does the transfer; this module
decides where files go and keeps secrets: what kagglehub and its libraries print, log or raise is never passed
on, because it can contain request headers, signed addresses or the text of a credentials file.
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

# Kept between runs, so that a download that was cut continues where it stopped.
_STAGING = ".partial"


@dataclass(frozen=True)
class Fetched:
    """The file, its manifest, and whether it was downloaded just now."""

    path: Path
    manifest: Manifest
    downloaded: bool


def fetch(out: Path, *, force: bool = False, release: Release = FER2013) -> Fetched:
    """FER2013 in the folder `out`, verified, with a manifest beside it.

    A file that is already there is verified and kept: against its manifest if it has one, otherwise by its
    rows and known hashes. No file has its final name before it is verified.

    Args:
        out: created if it does not exist.
        force: download even if the file is there.
        release: what to download and to expect.

    Raises:
        CredentialsError: Kaggle credentials are missing or refused, or the rules are not accepted.
        DownloadError: the transfer failed, or the file is not the expected one.
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
    staging = _create(out / _STAGING)
    try:
        downloaded = _download(kagglehub, release, staging)
    finally:
        _remove_if_empty(staging)
    try:
        manifest = verify(downloaded, release)
    except DownloadError as error:
        # Bad bytes must not be continued as a part of a download.
        shutil.rmtree(staging)
        raise DownloadError(f"The download was not kept: {error}") from error
    path = out / downloaded.name
    # In this order a crash leaves a file without a manifest, which the next fetch verifies by its rows.
    (out / MANIFEST).unlink(missing_ok=True)
    downloaded.replace(path)
    manifest.write(out)
    shutil.rmtree(staging)
    return Fetched(path, manifest, downloaded=True)


def _present(out: Path, release: Release) -> Path | None:
    return next((out / name for name in release.files if (out / name).is_file()), None)


def _create(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(
            f"{folder} cannot be created ({error.strerror}). Choose another folder with --out."
        ) from error
    return folder


def _remove_if_empty(staging: Path) -> None:
    if not any(path.is_file() for path in staging.rglob("*")):
        shutil.rmtree(staging)
        if not any(staging.parent.iterdir()):
            staging.parent.rmdir()


def _download(kagglehub: ModuleType, release: Release, staging: Path) -> Path:
    """A file of the release, downloaded into `staging`: the preferred file alone, which is a third of all;
    all files where Kaggle does not have one of that name.

    The error is raised outside of the handler, so that it carries no exception of kagglehub.
    """
    failure: DownloadError
    for name in (release.files[0], None):
        try:
            with _silenced(), _cache_in(staging):
                path = Path(kagglehub.competition_download(release.competition, path=name))
            return _move_to(staging, path, release)
        except DownloadError:
            raise
        except Exception as error:
            failure = explain(error, release, staging)
            missing = status_of(error) == HTTPStatus.NOT_FOUND
        if not missing:
            break
    raise failure


def _move_to(staging: Path, path: Path, release: Release) -> Path:
    """The expected file, in `staging`: from a folder of files, or from the mount of a Kaggle notebook."""
    if path.is_dir():
        present = _present(path, release)
        if present is None:
            names = ", ".join(sorted(entry.name for entry in path.iterdir())) or "nothing"
            raise DownloadError(
                f"Kaggle sent none of {', '.join(release.files)} for {release.url}, but: {names}. "
                f"Download a file from {release.url}/data, and inspect it with: mien data info PATH"
            )
        path = present
    if staging.resolve() not in path.resolve().parents:
        return Path(shutil.copyfile(path, staging / path.name))
    return path


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
    present = False
    try:
        present = get_kaggle_credentials() is not None
    except (ValueError, OSError):
        # The parser's error contains the text of the file with the key: it is not passed on.
        unreadable = True
    if unreadable:
        raise CredentialsError(
            f"{credentials_source()} has no Kaggle credentials that can be read: it should be the file "
            f"from Kaggle, unchanged. To get a new one:\n{credentials_help(release)}"
        )
    if not present:
        raise CredentialsError(
            "Kaggle credentials are missing: FER2013 is downloaded under your own Kaggle account.\n"
            + credentials_help(release)
        )


@contextmanager
def _silenced() -> Iterator[None]:
    """Hides what kagglehub prints and logs, except for its progress bar on stderr.

    kagglehub logs to the stdout of its import, and prints whole requests in its test environment.
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
    """Makes kagglehub download into `staging`.

    It is set as the cache, because with `output_dir` kagglehub does not continue a download.
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
