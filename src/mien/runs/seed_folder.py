"""The folder of several seeds of one recipe: its files, and its runs."""

from __future__ import annotations

import json
from pathlib import Path

from mien.errors import UsageError, reason
from mien.files import kind_of_path

# The recipe, and what the seeds gave, as JSON and as CSV.
PLAN, RESULT, SCORES = "seeds.toml", "seeds.json", "seeds.csv"


def runs_of_seeds(folder: Path) -> dict[int, Path]:
    """Seed to run, of the folder of `mien train --seeds`; empty for every other path.

    Raises:
        UsageError: not all of its seeds are trained, or its seeds.json is damaged.
    """
    if kind_of_path(folder / PLAN, UsageError) != "file":
        return {}
    try:
        wanted = [int(seed) for seed in json.loads((folder / RESULT).read_text(encoding="utf-8"))["wanted"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder / RESULT} cannot be read ({reason(error)}). Train the seeds again."
        ) from error
    runs = {seed: folder / f"seed-{seed}" for seed in wanted}
    if lacking := [str(seed) for seed, run in runs.items() if not (run / "summary.json").is_file()]:
        raise UsageError(
            f"{folder}: seed {', '.join(lacking)} is not trained to the end. Go on with: mien train --resume "
            f"{folder}"
        )
    return runs
