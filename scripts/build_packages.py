"""Builds the wheel and the sdist twice, checks that both builds are equal, and writes the SBOM of each extra.

    python scripts/build_packages.py        # dist/*.whl, dist/*.tar.gz, sbom/*.cdx.json

It needs the packages of the extra `dev`, and uv for the SBOM (one environment per extra). SOURCE_DATE_EPOCH
sets the time in the archives.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("", "video", "serve", "study", "train")
SBOM_TOOL = "cyclonedx-bom==7.5.0"


PAGE = ROOT / "src" / "mien" / "serve" / "static_page" / "mien-js"


def build(folder: Path) -> dict[str, str]:
    """The files of one build, and the SHA-256 of each."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def write_sbom(wheel: Path, extra: str, out: Path) -> None:
    """The packages that an installation with this extra contains, in CycloneDX."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", folder], check=True)
        what = f"{wheel}[{extra}]" if extra else str(wheel)
        constraints = str(ROOT / "requirements" / "constraints.txt")
        subprocess.run(
            [*uv, "pip", "install", "--quiet", "--python", str(python), "-c", constraints, what], check=True
        )
        tool = [
            *uv,
            "tool",
            "run",
            "--from",
            SBOM_TOOL,
            "cyclonedx-py",
            "environment",
            "--output-reproducible",
        ]
        subprocess.run([*tool, "--output-file", str(out), str(python)], check=True)


def main() -> None:
    """Build, compare, check, write."""
    if not (PAGE / "ort.wasm").is_file():
        sys.exit(
            f"{PAGE} is missing, which `mien page` needs: run `make web` first (Node 20 or newer with npm)"
        )
    dist, sbom = ROOT / "dist", ROOT / "sbom"
    for folder in (dist, sbom):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    first = build(dist)
    with tempfile.TemporaryDirectory() as folder:
        if build(Path(folder)) != first:
            sys.exit("two builds of the same files differ")
    files = [str(path) for path in sorted(dist.iterdir())]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)
    (wheel,) = dist.glob("*.whl")
    for extra in EXTRAS:
        write_sbom(wheel, extra, sbom / f"{extra or 'base'}.cdx.json")
    for name, digest in first.items():
        print(f"{digest}  {name}")


if __name__ == "__main__":
    main()
