"""`mien predict --out FOLDER` for photos, and with --dataset for clips: data sets that can be continued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mien.batch.sources import is_store
from mien.errors import UsageError
from mien.names import shown, shown_text
from mien.video.options.clips import ClipOptions
from mien.video.options.study import StudyOptions
from mien.video.sources import is_address, is_camera, without_password

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
    """The options of a data set.

    Attributes:
        clips: write clips as a data set, not as a study.
        shard: ``"3/16"``: the third of sixteen shares; None for all.
        range_s: cut longer clips into ranges of so many seconds.
        verify_hash: find changed files by their content.
        engine: ``"local"``, or ``"ray"`` for a cluster.
        address: of the cluster.
    """

    clips: bool = False
    shard: str | None = None
    range_s: float | None = None
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
    _print_failures(result, out, notes)
    typer.echo(_summary(result, out, options.shard))
    return result.failed


def write_clip_data_set(
    sources: list[str],
    read: ReadOptions,
    options: ClipOptions,
    data_set: DataSetOptions,
    *,
    workers: int | None,
) -> int:
    """Read clips that are missing or changed, and print a summary; returns how many cannot be read whole."""
    import typer
    from rich.console import Console

    from mien.batch.clip_worker import ClipReadOptions
    from mien.batch.clips import read_clips
    from mien.batch.sources import read_shard
    from mien.cli.progress import progress_bar

    out, people = check_clips(sources, options, data_set)
    notes = Console(stderr=True, soft_wrap=True, highlight=False)
    with progress_bar("listing files", console=notes) as bar:
        result = read_clips(
            sources,
            out,
            ClipReadOptions(
                read,
                options.interval_s,
                options.start_s,
                options.end_s,
                options.faces,
                people,
                options.smooth_s,
                options.detector_size,
                data_set.range_s,
            ),
            shard=read_shard(data_set.shard),
            verify_hash=data_set.verify_hash,
            overwrite=options.overwrite,
            workers=workers,
            progress=bar.show,
        )
    _print_failures(result, out, notes)
    typer.echo(_clip_summary(result, out, data_set.shard))
    return result.failed


def check_clips(
    sources: list[str], options: ClipOptions, data_set: DataSetOptions
) -> tuple[Path, Literal["clip", "off"]]:
    """The folder, and who keeps their number.

    Raises:
        UsageError: options or sources that do not fit a data set of clips.
    """
    if live := [each for each in sources if is_camera(each) or (is_address(each) and not is_store(each))]:
        raise UsageError(
            f"a data set reads clips in files and stores, not {shown(without_password(live[0]))}."
        )
    if data_set.engine == "ray":
        raise UsageError("--engine ray reads photos. Share clips out with --shard, such as 1/16.")
    if options.out is None or options.people == "all":
        raise UsageError("--people all numbers people across the clips of one run; a data set grows in many.")
    ordinary = ClipOptions()
    extra = {
        "--save": options.save,
        "--timeline": options.timeline,
        "--blur-others": options.blur_others,
        "--show": options.show,
        "--stream": options.stream,
        "--resume": options.resume,
        "--jobs (use --threads)": options.jobs != ordinary.jobs,
        "the options of a study's tables": options.study not in (None, StudyOptions()),
    }
    if given := [name for name, value in extra.items() if value]:
        raise UsageError(f"a data set of clips is a table of their frames: leave out {given[0]}.")
    return options.out, options.people


def _print_failures(result: BatchResult, out: Path, notes: Console) -> None:
    for _, message in result.failures[:_NAMED]:
        notes.print(shown_text(f"error: {message}"), markup=False, style="red")
    if result.failed > _NAMED:
        notes.print(f"{result.failed:,} files cannot be read; mien batch status {shown(out)} lists more.")


def _clip_summary(result: BatchResult, out: Path, shard: str | None) -> str:
    read = f"{result.files:,} clips read: {result.frames:,} frames, {result.failed:,} cannot be read whole"
    if result.ranges:
        read += f"; {result.ranges:,} ranges of long clips, {result.joined:,} joined"
    if result.waiting:
        read += f", {result.waiting:,} lack ranges"
    if result.changed:
        read += f"; {result.changed:,} had changed"
    if result.known:
        read += f"; {result.known:,} were there already"
    return f"{read}. {_where(out, 'clips', shard)}"


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
    return f"{read}. {_where(out, 'images', shard)}"


def _where(out: Path, kind: str, shard: str | None) -> str:
    if shard is None:
        return f"Rows: {shown(out / f'{kind}.parquet')}"
    return f"Shard {shard}: {shown(out / kind)}; join them with: mien batch merge {shown(out)}"
