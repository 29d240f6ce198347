"""`mien page`."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from mien.cli.options import MODEL, OUTPUT, OutFolder, model_file, option
from mien.cli.serve import Labels, Notice, WithoutNotice, resolve_notice


def _models(context: typer.Context, models: list[str]) -> list[str]:
    return [model_file(context, model) for model in models]


def page(
    out: OutFolder,
    overwrite: Annotated[
        bool, option(OUTPUT, "--overwrite", "Replace the files of an earlier page.")
    ] = False,
    model: Annotated[
        list[str],
        option(
            MODEL,
            "--model MODEL",
            "A shipped model, an ONNX file, or the folder of a training run. Give it several times to offer "
            "a choice; the first one is selected. Default: mien-tiny and mien-lite0.",
            callback=_models,
        ),
    ] = [],  # noqa: B006
    labels: Labels = None,
    notice: Notice = None,
    without_notice: WithoutNotice = False,
) -> None:
    """Write a page that shows the expressions of faces without a server.

    The folder can be put on any host of static files, also below its root. The models run in the browser, and
    no image leaves the device. After one visit the page works offline and can be installed.
    """
    from mien.serve.static_page.site import MODELS, SiteOptions, write_site

    options = SiteOptions(
        models=tuple(model) or MODELS,
        labels=labels and labels.value,
        notice=resolve_notice(notice, without_notice),
    )
    size = write_site(out, options, overwrite=overwrite)
    typer.echo(
        f"{out / 'index.html'} written, {size / 1e6:.0f} MB with its files. Browsers run it from a host, not "
        f"from file://. To try it: python -m http.server -d {shlex.quote(str(out))}",
        err=True,
    )
