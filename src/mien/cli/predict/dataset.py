"""`mien predict --out FOLDER` for photos: a data set that can be continued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mien.errors import UsageError
from mien.names import shown, shown_text

if TYPE_CHECKING:
    from rich.console import Console

    from mien.batch.run import BatchResult
    from mien.batch.worker import OnImage, ReadOptions
    from mien.images.decode import DecodedImage
    from mien.inference.face import Face

# Failures that are printed; `mien batch status` lists more.
_NAMED = 10


@dataclass(frozen=True)
class DataSetOptions:
    """The options of a data set of photos.

    Attributes:
        shard: ``"3/16"``: the third of sixteen shares; None for all.
        verify_hash: find changed files by their content.
        engine: ``"local"``, or ``"ray"`` for a cluster.
        address: of the cluster.
    """

    shard: str | None = None
    verify_hash: bool = False
    engine: Literal["local", "ray"] = "local"
    address: str | None = None


def write_data_set(
    sources: list[str],
    out: Path,
    read: ReadOptions,
    options: DataSetOptions,
    *,
    save: Path | None,
    overwrite: bool,
    workers: int | None,
) -> int:
    """Read what is missing or changed, and print a summary; returns how many files cannot be read."""
    import typer
    from rich.console import Console

    from mien.batch.run import RayEngine, read_images
    from mien.batch.sources import read_shard
    from mien.cli.progress import progress_bar

    if options.address is not None and options.engine != "ray":
        raise UsageError("--address is for --engine ray.")
    notes = Console(stderr=True, soft_wrap=True, highlight=False)
    shard = read_shard(options.shard)
    with progress_bar("listing files", console=notes) as bar:
        result = read_images(
            sources,
            out,
            read,
            shard=shard,
            verify_hash=options.verify_hash,
            overwrite=overwrite,
            workers=workers,
            engine=RayEngine(options.address) if options.engine == "ray" else None,
            on_image=_saver(save, overwrite, notes),
            progress=bar.show,
        )
    for _, message in result.failures[:_NAMED]:
        notes.print(shown_text(f"error: {message}"), markup=False, style="red")
    if result.failed > _NAMED:
        notes.print(f"{result.failed:,} files cannot be read; mien batch status {shown(out)} lists more.")
    typer.echo(_summary(result, out, options.shard))
    return result.failed


def _saver(save: Path | None, overwrite: bool, notes: Console) -> OnImage | None:
    """What writes annotated images into a folder, or None."""
    from mien.inference.image_writer import AnnotatedFolder

    if save is None:
        return None
    folder = AnnotatedFolder(save, overwrite=overwrite)

    def write(image: DecodedImage, faces: Sequence[Face], source: str) -> None:
        notes.print(f"saved {shown(folder.save(image, faces, source))}", markup=False)

    return write


def _summary(result: BatchResult, out: Path, shard: str | None) -> str:
    read = f"{result.files:,} photos read: {result.faces:,} faces, {result.failed:,} cannot be read"
    if result.changed:
        read += f", {result.changed:,} had changed"
    if result.known:
        read += f"; {result.known:,} were there already"
    if shard is None:
        return f"{read}. Rows: {shown(out / 'images.parquet')}"
    return f"{read}. Shard {shard}: {shown(out / 'images')}; join them with: mien batch merge {shown(out)}"
