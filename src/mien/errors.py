"""Every error that mien raises on purpose.

    MienError                       1
    ├── UsageError                  2   an argument or option that cannot be used
    │   ├── UnknownEmotion
    │   ├── RecipeError                 a recipe's key or value
    │   └── CorrectionError             a correction that does not fit the results
    ├── DataError                   3   labelled faces that cannot be read
    │   ├── SourceNotFound
    │   ├── FormatError                 an unknown layout, or cut short
    │   └── BadRows                     rows refused under ``strict``
    ├── DownloadError               4
    │   └── CredentialsError            Kaggle credentials missing or refused
    ├── ImageError                  5   a photo or a video that cannot be read
    │   └── ImageTooLarge
    ├── ModelError                  6   a model file or its card
    │   ├── UnknownModel
    │   └── CardError
    ├── TrainError                  7
    │   ├── Diverged
    │   ├── Interrupted             130 after Ctrl-C, 143 after SIGTERM
    │   └── ResumeError
    ├── ExportError                 8   the exported model differs from its source
    ├── MissingExtra                9   a feature whose packages are missing
    ├── NotBuilt                    9   a feature that this installation was built without
    └── VerifyError                10   a model that does not reproduce its card

The number is the command line's exit code. A message says what was wrong, the value received and
what to do next.
"""

from __future__ import annotations


class MienError(Exception):
    """Base of every error that mien raises on purpose."""

    exit_code = 1


class UsageError(MienError):
    """An argument or option that cannot be used."""

    exit_code = 2


class UnknownEmotion(UsageError):
    """A name that is not an emotion known to mien."""


class RecipeError(UsageError):
    """A recipe with an unknown key or a value out of range."""


class CorrectionError(UsageError):
    """A correction of results that is malformed, or does not fit them."""


class DataError(MienError):
    """Labelled faces that cannot be read."""

    exit_code = 3


class SourceNotFound(DataError):
    """A path that does not exist."""


class FormatError(DataError):
    """A source in an unknown layout, or cut short."""


class BadRows(DataError):
    """Rows refused under ``strict``."""


class DownloadError(MienError):
    """A download that failed, or whose content is not the expected one."""

    exit_code = 4


class CredentialsError(DownloadError):
    """Kaggle credentials that are missing or refused."""


class ImageError(MienError):
    """A photo or a video that cannot be read."""

    exit_code = 5


class ImageTooLarge(ImageError):
    """An image whose header announces more pixels than allowed."""


class ModelError(MienError):
    """A model file or a card that cannot be used."""

    exit_code = 6


class UnknownModel(ModelError):
    """A model name that is neither shipped nor a file."""


class CardError(ModelError):
    """A card that is malformed or does not belong to its weights."""


class TrainError(MienError):
    """A training run that cannot go on."""

    exit_code = 7


class Diverged(TrainError):
    """A loss that is no longer a finite number."""


class Interrupted(TrainError):
    """A training that was stopped by a signal, and saved: 130 after Ctrl-C, 143 after SIGTERM."""

    exit_code = 130

    def __init__(self, message: str, signal: int = 2) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal


class ResumeError(TrainError):
    """A run folder that cannot be resumed."""


class ExportError(MienError):
    """An exported model whose output differs from its source's."""

    exit_code = 8


class MissingExtra(MienError):
    """A feature whose packages are not installed."""

    exit_code = 9

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs packages that are not installed. Install them with: pip install 'mien[{extra}]'"
        )


class NotBuilt(MienError):
    """A feature that this installation was built without."""

    exit_code = 9


class VerifyError(MienError):
    """A shipped model that differs from its card, or does not reproduce its figures."""

    exit_code = 10


def reason(error: Exception) -> str:
    """What the system said, without its number and the path, for a message that names the path itself."""
    return getattr(error, "strerror", None) or str(error)
