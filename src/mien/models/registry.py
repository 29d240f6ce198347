"""The models that ship in the wheel: weights/NAME.onnx beside weights/NAME.json, its card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mien.errors import CardError, UnknownModel
from mien.files import expanded, kind_of_path, sha256_file, write_atomically
from mien.models.card import Card, read_card
from mien.names import shown

DEFAULT = "mien-lite0"
FOLDER = Path(__file__).parent / "weights"
# The SHA-256 of each card in that folder, as `sha256sum` writes them; made by `make docs`.
HASHES = "SHA256SUMS"


@dataclass(frozen=True)
class ModelFile:
    """An exported model on disk and its card."""

    onnx: Path
    card: Card


def expected_hash(path: Path) -> str | None:
    """The SHA-256 in the JSON beside a file of weights that ships; None for files from elsewhere.

    Raises:
        CardError: the JSON is missing or has no hash.
    """
    if path.parent != FOLDER:
        return None
    card = path.with_suffix(".json")
    check_card(card)
    try:
        return str(json.loads(card.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CardError(f"{card} cannot be read: {error!r}. Install mien again.") from error


def check_card(card: Path) -> None:
    """Raise for a card that ships and was changed; cards from elsewhere are checked by `read_card` alone.

    Raises:
        CardError: its SHA-256 is not that of the release, or has no entry there.
    """
    if card.parent != FOLDER:
        return
    try:
        lines = (FOLDER / HASHES).read_text(encoding="ascii").splitlines()
        known = {name: value for value, _, name in (line.partition("  ") for line in lines)}
        same = known.get(card.name) == sha256_file(card)
    except (OSError, ValueError) as error:
        raise CardError(f"{card} cannot be checked: {error}. Install mien again.") from error
    if not same:
        raise CardError(f"{card} is not the card that ships: it was changed or damaged. Install mien again.")


def write_hashes() -> None:
    """Write the hashes of the cards that ship, after they were measured or edited."""
    cards = sorted(FOLDER.glob("*.json"))
    write_atomically(FOLDER / HASHES, "".join(f"{sha256_file(card)}  {card.name}\n" for card in cards))


def shipped() -> list[str]:
    """Names of the emotion models in the wheel, the default first."""
    names = sorted(path.stem for path in FOLDER.glob("mien-*.onnx"))
    return sorted(names, key=lambda name: name != DEFAULT)


def find_model(model: str | Path = DEFAULT, *, verify: bool = False) -> ModelFile:
    """The model of a shipped name or of a path to an ONNX file with its card beside it.

    The folder of a training run is the float model that was exported into it from its present weights.
    With `verify`, the file's SHA-256 is compared with the card's.

    Raises:
        UnknownModel: neither a shipped name nor a file.
        CardError: the card is missing, malformed, or of other weights.
    """
    path = FOLDER / f"{model}.onnx" if isinstance(model, str) and "/" not in model else Path(model)
    if kind_of_path(path, UnknownModel) != "file":
        path = expanded(model)
    if kind_of_path(path, UnknownModel) == "folder" and (found_in := exported_of(path)):
        path = found_in
    if (kind := kind_of_path(path, UnknownModel)) != "file":
        names = ", ".join(shipped()) or "none"
        hint = f" Export a training run first: mien export {shown(model)}." if kind == "folder" else ""
        raise UnknownModel(f"{shown(model)!r} is neither a shipped model ({names}) nor an ONNX file.{hint}")
    check_card(path.with_suffix(".json"))
    card = read_card(path.with_suffix(".json"))
    if verify and (found := sha256_file(path)) != card.sha256:
        raise CardError(
            f"{path} is not the file that its card describes (SHA-256 {found}, card {card.sha256}). "
            "Download or export it again."
        )
    return ModelFile(path, card)


def exported_of(run: Path) -> Path | None:
    """The newest float model in a training run's folder not older than its weights, if there is one."""
    weights = run / "best.safetensors"
    since = weights.stat().st_mtime_ns if weights.is_file() else 0
    files = [
        path
        for path in run.glob("*.onnx")
        if path.with_suffix(".json").is_file() and not path.stem.endswith("-int8")
    ]
    fresh = [path for path in files if path.stat().st_mtime_ns >= since]
    return max(fresh, key=lambda path: path.stat().st_mtime_ns, default=None)
