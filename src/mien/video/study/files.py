"""Tables as CSV and Parquet, both with the same rows; Parquet carries the sidecar."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mien.errors import MissingExtra, UsageError
from mien.files import staged
from mien.names import csv_cell, json_text
from mien.video.study.dictionary import Column

Row = dict[str, Any]
_BLOCK = 20_000  # rows of Parquet written at once


class TableFiles:
    """A table that is written as CSV and as Parquet, row after row."""

    def __init__(self, text: csv.DictWriter[str], parquet: Any, schema: Any) -> None:
        self._text, self._parquet, self._schema = text, parquet, schema
        self._block: list[Row] = []

    def write(self, rows: Iterable[Row]) -> None:
        """Take the next rows."""
        for row in rows:
            self._text.writerow({name: csv_cell(value) for name, value in row.items()})
            self._block.append({name: _unicode(value) for name, value in row.items()})
            if len(self._block) >= _BLOCK:
                self.flush()

    def flush(self) -> None:
        """Hand the rows that wait to the Parquet file."""
        import pyarrow as pa

        if self._block:
            self._parquet.write_table(pa.Table.from_pylist(self._block, self._schema))
            self._block = []


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
            names = [column.name for column in columns]
            text = csv.DictWriter(file, names, lineterminator="\n")
            text.writeheader()
            parquet = stack.enter_context(pq.ParquetWriter(parquet_path, schema))
            table = TableFiles(text, parquet, schema)
            yield table
            table.flush()
    except OSError as error:
        raise UsageError(f"{folder / name} cannot be written: {error}.") from error


def join_tables(
    parts: Sequence[Path], folder: Path, name: str, columns: Sequence[Column], sidecar: Row
) -> None:
    """Several Parquet files as one table, some thousand rows in memory at a time."""
    import pyarrow.parquet as pq

    with open_tables(folder, name, columns, sidecar) as table:
        for part in parts:
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(_BLOCK):
                    table.write(batch.to_pylist())


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
