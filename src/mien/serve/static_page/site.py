"""The files of the page: HTML, modules, models and the built package."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import CardError, NotBuilt, UsageError
from mien.files import write_atomically
from mien.models.card import LABEL_SETS
from mien.models.registry import FOLDER, ModelFile, find_model
from mien.serve.settings import NOTICE

# The first one is used until another is chosen; the smaller one loads sooner.
MODELS = ("mien-tiny", "mien-lite0")
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
_HERE = Path(__file__).parent
_PAGE = _HERE.parent / "page"
_PACKAGE = _HERE / "mien-js"
_BUILT = ("index.js", "worker.js", "ort.wasm")
_DETECTOR = ("blazeface-back.onnx", "face-check.onnx")
_MESH = "facemesh.onnx"  # loaded when movements are switched on
_ICONS = {"icon-192.png": "192x192", "icon-512.png": "512x512"}
_SERVICE_WORKER = "sw.js"
_CARD_KEYS = (
    *("format", "name", "heads", "default_head", "input_size", "framing", "limits"),
    *("sha256", "licence"),
)
_COVERAGE = "0.90"  # of the sets of emotions that mien-js gives


@dataclass(frozen=True)
class SiteOptions:
    """What the page contains.

    Attributes:
        models: shipped names or ONNX files, the first one selected; their names must differ.
        labels: the label set that is selected; None for the model's own.
        notice: to the people in front of the camera; None for none.
        offline: let the browser keep the page for use without a network, and install it.
    """

    models: Sequence[str | Path] = MODELS
    labels: str | None = None
    notice: str | None = NOTICE
    offline: bool = True


def site_files(options: SiteOptions) -> dict[str, bytes]:
    """The page's files by their paths; ``index.html`` is the page. All addresses in them are relative.

    Raises:
        NotBuilt: the built package is missing.
        UnknownModel, CardError, ModelError: a model cannot be used.
        UsageError: two models of one name, or one that lacks the labels.
    """
    models = _models(options)
    pages = {path.relative_to(_PAGE).as_posix(): path for path in _files(_PAGE)}
    pages |= {path.relative_to(_HERE).as_posix(): path for path in _files(_HERE / "js")}
    for unused in ("docs.css",):
        pages.pop(unused, None)
    files = {name: path.read_bytes() for name, path in pages.items()}
    files["index.html"] = _index(files["index.html"].decode(), options).encode()
    files |= _package()
    for model in models:
        files |= {
            f"models/{model.onnx.name}": model.onnx.read_bytes(),
            f"models/{model.onnx.stem}.json": _card(model),
        }
    files["settings.json"] = _json(
        {"models": [model.onnx.stem for model in models], "labels": options.labels}
    )
    if options.offline:
        files |= {name: (_HERE / name).read_bytes() for name in _ICONS} | {
            "manifest.webmanifest": _manifest()
        }
        files[_SERVICE_WORKER] = _service_worker(files, models[0].onnx.stem)
    return files


def write_site(folder: Path, options: SiteOptions | None = None, *, overwrite: bool = False) -> int:
    """Write the page into a folder, which is created if missing; returns the bytes written.

    With `overwrite`, the files of an earlier page are replaced; other files in the folder stay.

    Raises:
        UsageError: the folder has files already.
        NotBuilt, UnknownModel, CardError, ModelError: as `site_files`.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file. Name a folder for the page.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UsageError(f"{folder} is not empty. Name another folder, or add --overwrite.")
    files = site_files(options or SiteOptions())
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return sum(map(len, files.values()))


def _models(options: SiteOptions) -> list[ModelFile]:
    found = [find_model(model, verify=True) for model in options.models]
    names = [model.onnx.stem for model in found]
    if len(set(names)) < len(names):
        raise UsageError(f"two models have the same file name ({', '.join(names)}). Rename one of the files.")
    for model in found:
        _check(model, options.labels)
    return found


def _check(model: ModelFile, labels: str | None) -> None:
    """What mien-js needs and not every card has."""
    if model.card.framing is None:
        raise CardError(
            f"{model.card.name} has no framing, so that faces cannot be cropped for it. Export it again."
        )
    head = model.card.head(None if labels is None else LABEL_SETS[labels])
    if _COVERAGE not in head.conformal:
        raise CardError(
            f"head '{head.name}' of {model.card.name} has no conformal threshold for a coverage of "
            f"{_COVERAGE}. Calibrate it: mien export RUN."
        )


def _card(model: ModelFile) -> bytes:
    """What running the model needs of its card: not where it was trained, and on which files."""
    card = json.loads(model.onnx.with_suffix(".json").read_text(encoding="utf-8"))
    return _json({key: card[key] for key in _CARD_KEYS})


def _index(text: str, options: SiteOptions) -> str:
    """The page with what is for a server taken out, and what is for the browser put in."""
    text = re.sub(r"<!-- server -->.*?<!-- /server -->", "", text, flags=re.DOTALL)
    text = re.sub(r"<!-- browser\b(.*?)\bbrowser -->", r"\1", text, flags=re.DOTALL)
    notice = (
        "" if options.notice is None else f'<p class="notice" role="note">{html.escape(options.notice)}</p>'
    )
    head = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += '\n  <script src="js/file.js"></script>'
    if options.offline:
        head += (
            '\n  <link rel="manifest" href="manifest.webmanifest">'
            '\n  <link rel="apple-touch-icon" href="icon-192.png">'
        )
    return text.replace("<!-- head -->", head).replace("<!-- notice -->", notice)


def _package() -> dict[str, bytes]:
    missing = [name for name in _BUILT if not (_PACKAGE / name).is_file()]
    if missing:
        raise NotBuilt(
            f"this installation of mien has no {', '.join(missing)} for browsers, because it was made "
            "without Node. Install the wheel of a release; or, in a checkout, install Node 20 or newer "
            "with npm, and run `make web`."
        )
    files = {f"mien-js/{name}": (_PACKAGE / name).read_bytes() for name in _BUILT}
    return files | {f"mien-js/{name}": (FOLDER / name).read_bytes() for name in (*_DETECTOR, _MESH)}


def _manifest() -> bytes:
    icons = [{"src": name, "sizes": sizes, "type": "image/png"} for name, sizes in _ICONS.items()]
    icons.append({"src": "icon.svg", "sizes": "any", "type": "image/svg+xml"})
    names = {
        "name": "mien",
        "short_name": "mien",
        "description": "Facial expressions, analyzed in this browser.",
    }
    look = {"display": "standalone", "background_color": "#f4f2ed", "theme_color": "#12545b"}
    return _json({**names, "id": "./", "start_url": "./", "scope": "./", **look, "icons": icons})


def _service_worker(files: Mapping[str, bytes], first: str) -> bytes:
    """The worker that keeps the page; the mesh and all models but the first are kept once they were used."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {len(files[name])} ".encode() + files[name])
    later = [name for name in files if name.startswith("models/") and Path(name).stem != first]
    later.append(f"mien-js/{_MESH}")
    kept = ["./", *(name for name in files if name not in later)]
    text = (_HERE / _SERVICE_WORKER).read_text(encoding="utf-8")
    for mark, value in (
        ("{{version}}", f"mien-{digest.hexdigest()[:12]}"),
        ("const FILES = [];", f"const FILES = {json.dumps(kept)};"),
        ("const LATER = [];", f"const LATER = {json.dumps(later)};"),
    ):
        text = text.replace(mark, value)
    return text.encode()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
