"""Calibrate and measure a model again that has been exported already, and write what comes out into its card.

    python scripts/measure_card.py mien-lite0 --data fer2013.csv --votes fer2013new.csv

For a change of what a card holds, or of how it is calibrated: `mien export` does the same when the run is
still there. The weights stay; the metadata of the ONNX file and its hash follow the card.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mien.data import load
from mien.exporting.card import write_card
from mien.exporting.export import measure_card
from mien.exporting.metadata import embed
from mien.models.registry import FOLDER, find_model, write_hashes


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a shipped name, or an ONNX file with its card beside it")
    parser.add_argument("--data", required=True)
    parser.add_argument("--votes", type=Path)
    parser.add_argument("--split", default="PublicTest")
    parser.add_argument("--no-tta", action="store_true", help="leave out test-time augmentation")
    options = parser.parse_args()
    model = find_model(options.model, verify=True)
    table = load(options.data, votes=options.votes)
    card, _ = measure_card(model, table, options.split, tta=not options.no_tta, progress=print)
    write_card(embed(card, model.onnx), model.onnx)
    if model.onnx.parent == FOLDER:
        write_hashes()
    print(model.onnx.with_suffix(".json"))


if __name__ == "__main__":
    main()
