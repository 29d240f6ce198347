"""Tables as CSV and Parquet, both with the same rows; Parquet carries the sidecar."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from mien.errors import MissingExtra, UsageError, reason
from mien.files import staged
from mien.names import csv_cell, json_text
from mien.video.study.dictionary import Column

Row = dict[str, Any]
_BLOCK = 20_000  # rows written at once


class TableFiles:
    """A table that is written as CSV and as Parquet, row after row.

    Args:
        text: the CSV file, behind its header.
        parquet, schema: a writer of Parquet, and the columns of both files.
    """

    def __init__(self, text: IO[str], parquet: Any, schema: Any) -> None:
        self._file, self._parquet, self._schema = text, parquet, schema
        self._text = csv.writer(text, lineterminator="\n")
        self._names: list[str] = schema.names
        self._known = frozenset(self._names)
        self._block: list[tuple[Any, ...]] = []

    def write(self, rows: Iterable[Row]) -> None:
        """Take the next rows; a column that a row lacks is empty.

        Raises:
            ValueError: a row has a column that the table has not.
        """
        for row in rows:
            if not row.keys() <= self._known:
                raise ValueError(f"the table has no column {(row.keys() - self._known).pop()!r}")
            self._block.append(tuple(map(row.get, self._names)))
            if len(self._block) >= _BLOCK:
                self.flush()

    def flush(self) -> None:
        """Hand the rows that wait to both files."""
        import pyarrow as pa

        if not self._block:
            return
        arrays: list[Any] = []
        cells: list[Sequence[Any]] = []
        for values, kind in zip(zip(*self._block, strict=True), self._schema.types, strict=True):
            if pa.types.is_string(kind):  # the same few texts again and again
                texts = set(values)
                as_cell, as_unicode = {it: csv_cell(it) for it in texts}, {it: _unicode(it) for it in texts}
                cells.append([as_cell[it] for it in values])
                arrays.append(pa.array([as_unicode[it] for it in values], kind))
            else:
                cells.append(values)
                arrays.append(pa.array(values, kind))
        self._text.writerows(zip(*cells, strict=True))
        self._parquet.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._block = []

    def copy(self, part: Path) -> None:
        """Take the rows of a Parquet file with these columns, and those of the CSV file beside it as text."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.flush()
        with part.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
            file.readline()
            shutil.copyfileobj(file, self._file)
        with pq.ParquetFile(part) as of_part:
            for batch in of_part.iter_batches(_BLOCK):
                self._parquet.write_table(pa.Table.from_batches([batch]).cast(self._schema))


@contextmanager
def open_tables(folder: Path, name: str, columns: Sequence[Column], sidecar: Row) -> Iterator[TableFiles]:
    """A table as ``NAME.csv`` and ``NAME.parquet`` in a folder; both appear once they are whole.

    Raises:
        MissingExtra: pyarrow is not installed.
        UsageError: a file cannot be written.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("the tables of a study", "video") from None
    schema = parquet_schema(columns, sidecar)
    try:
        with ExitStack() as stack:
            text_path, parquet_path = (
                stack.enter_context(staged(folder / f"{name}.{suffix}")) for suffix in ("csv", "parquet")
            )
            file = stack.enter_context(text_path.open("w", encoding="utf-8", newline=""))
            file.write(_header(columns))
            parquet = stack.enter_context(pq.ParquetWriter(parquet_path, schema))
            table = TableFiles(file, parquet, schema)
            yield table
            table.flush()
    except OSError as error:
        raise UsageError(
            f"{folder / name} cannot be written: {reason(error)}. Choose another place."
        ) from error


def join_tables(
    parts: Sequence[Path], folder: Path, name: str, columns: Sequence[Column], sidecar: Row
) -> None:
    """Several Parquet files as one table, some thousand rows in memory at a time."""
    import pyarrow.parquet as pq

    with open_tables(folder, name, columns, sidecar) as table:
        for part in parts:
            if _is_pair(part, columns):
                table.copy(part)
                continue
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(_BLOCK):
                    table.write(batch.to_pylist())


def _header(columns: Sequence[Column]) -> str:
    """The first line of a CSV file; no name of a column needs quotes."""
    return ",".join(column.name for column in columns) + "\n"


def _is_pair(part: Path, columns: Sequence[Column]) -> bool:
    """Whether a Parquet file has these columns and a CSV file of the same rows beside it."""
    import pyarrow.parquet as pq

    names, text = [column.name for column in columns], part.with_suffix(".csv")
    if pq.read_schema(part).names != names or not text.exists():
        return False
    with text.open(encoding="utf-8", newline="") as file:
        return file.readline() == _header(columns)


def parquet_schema(columns: Sequence[Column], sidecar: Row | None) -> Any:
    """The schema of a table, each column with its entry of the dictionary, and the sidecar.

    Without a sidecar the schema holds names and types alone.
    """
    import pyarrow as pa

    kinds = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
    if sidecar is None:
        return pa.schema([(column.name, kinds[column.kind]) for column in columns])
    fields = [
        pa.field(column.name, kinds[column.kind], metadata={k: _text(v) for k, v in column.to_dict().items()})
        for column in columns
    ]
    return pa.schema(fields, metadata={"mien": _text(sidecar)})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)


def _unicode(value: Any) -> Any:
    """Bytes of a name that are not Unicode, escaped: Parquet takes none."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
