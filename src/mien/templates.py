"""HTML pages from the templates of a package; every value is escaped."""

from __future__ import annotations

from typing import Any

from mien.errors import MissingExtra


def render(package: str, template: str, **values: Any) -> str:
    """A file of the package's ``templates`` folder, filled with the values.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ModuleNotFoundError as error:
        raise MissingExtra("Writing an HTML page", "study") from error
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return environment.get_template(template).render(**values)
