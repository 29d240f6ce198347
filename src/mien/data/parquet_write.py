"""The table into one Parquet file in Hugging Face's layout, with split, row and votes beside it."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mien.data.fer2013.reader import cores
from mien.data.table import FaceTable
from mien.emotions import VOTES
from mien.errors import DataError, MissingExtra
from mien.images.gray import png

_BATCH = 4096


def write_parquet(table: FaceTable, path: Path) -> None:
    """Write the table so that `mien.data.load` gives it back, and `datasets.load_dataset` shows the faces.

    Columns: image (struct of PNG bytes, without loss, and path), label (int64, names in the metadata, -1 for
    none), split, row, and votes (10 of uint8, in the order of `mien.emotions.VOTES`) where there are any. The
    file appears when it is complete, never half.

    Raises:
        MissingExtra: pyarrow is not installed.
        DataError: the file cannot be written.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("Writing Parquet", "data") from error
    schema = _schema(pa, table)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with (
            parquet.ParquetWriter(partial, schema, compression="zstd") as writer,
            ThreadPoolExecutor(cores(), thread_name_prefix="mien-png") as pool,
        ):
            for start in range(0, len(table), _BATCH):
                part = slice(start, start + _BATCH)
                images = [
                    {
                        "bytes": encoded,
                        "path": None if table.names is None else str(table.names[start + place]),
                    }
                    for place, encoded in enumerate(pool.map(png, table.pixels[part]))
                ]
                columns: dict[str, Any] = {
                    "image": images,
                    "label": table.labels[part],
                    "split": table.splits[part].tolist(),
                    "row": table.rows[part],
                }
                if table.votes is not None:
                    columns["votes"] = table.votes[part].tolist()
                writer.write_table(pa.table(columns, schema=schema))
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)


def _schema(pa: Any, table: FaceTable) -> Any:
    """The columns, and what Hugging Face's `datasets` wants to know of them."""
    columns = {
        "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        "label": pa.int64(),
        "split": pa.string(),
        "row": pa.int64(),
    }
    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"names": list(table.classes), "_type": "ClassLabel"},
        "split": {"dtype": "string", "_type": "Value"},
        "row": {"dtype": "int64", "_type": "Value"},
    }
    if table.votes is not None:
        columns["votes"] = pa.list_(pa.uint8(), len(VOTES))
        votes = {"dtype": "uint8", "_type": "Value"}
        features["votes"] = {"feature": votes, "length": len(VOTES), "_type": "Sequence"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(list(columns.items()), metadata=metadata)
