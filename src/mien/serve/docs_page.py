"""The OpenAPI document as a plain page, rendered on the server: it loads nothing from another host."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from jinja2 import Environment
from markupsafe import Markup, escape


def docs_routes(app: FastAPI) -> APIRouter:
    """`/docs`."""
    router = APIRouter(include_in_schema=False)

    @cache
    def page() -> str:
        return docs_page(app.openapi())

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(page())

    return router


def docs_page(document: dict[str, Any]) -> str:
    """An OpenAPI document as HTML: each operation with its parameters and responses, and each schema."""
    environment = Environment(autoescape=True)
    environment.filters |= {"code": _code, "curl": _curl}
    template = environment.from_string((files("mien.serve") / "docs.html.jinja").read_text(encoding="utf-8"))
    operations = [
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = {
        name: {**schema, "rows": _rows(schema["properties"])}
        for name, schema in document["components"]["schemas"].items()
    }
    return template.render(info=document["info"], operations=operations, schemas=schemas)


def _operation(method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    """An operation with the rows of its tables: name, type, meaning."""
    content = operation.get("requestBody", {}).get("content", {})
    return {
        **operation,
        "method": method,
        "path": path,
        "parameters": [
            (f"{each['name']} ({each['in']})", _type(each["schema"]), each.get("description", ""))
            for each in operation.get("parameters", [])
        ],
        "body": [(kind, _type(each["schema"]), "") for kind, each in content.items()],
        "responses": [
            (status, _response_type(response), response.get("description", ""))
            for status, response in operation["responses"].items()
        ],
    }


def _rows(properties: dict[str, Any]) -> list[tuple[str, Markup, str]]:
    return [(name, _type(schema), schema.get("description", "")) for name, schema in properties.items()]


def _response_type(response: dict[str, Any]) -> Markup:
    for kind, content in response.get("content", {}).items():
        return _type(content["schema"]) if content.get("schema") else escape(kind)
    return Markup()


def _type(schema: dict[str, Any]) -> Markup:
    """A schema in a few words; a named one as a link to its section."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#{0}"><code>{0}</code></a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(_type(one) for one in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        values = schema.get("enum") or [schema["const"]]
        return Markup(" or ").join(Markup("<code>{}</code>").format(json.dumps(value)) for value in values)
    kind = schema.get("type", "anything")
    if kind == "array":
        if "items" in schema:
            return Markup("list of {}").format(_type(schema["items"]))
        return Markup("list of {} numbers").format(len(schema.get("prefixItems", [])))
    if kind == "object":
        values = schema.get("additionalProperties")
        if isinstance(values, dict):
            return Markup("object of {}").format(_type(values))
        fields = [Markup("{}: {}").format(*field) for field in _form_fields(schema)]
        return Markup("form ({})").format(Markup(", ").join(fields)) if fields else Markup("object")
    return Markup("bytes") if schema.get("format") == "binary" else escape(kind)


def _form_fields(schema: dict[str, Any]) -> list[tuple[str, Markup]]:
    return [(name, _type(one)) for name, one in schema.get("properties", {}).items()]


def _curl(operation: dict[str, Any]) -> str:
    """The operation as a command line to paste."""
    command = "curl"
    if operation.get("security"):
        command += ' -H "Authorization: Bearer $MIEN_API_KEY"'
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]
        form = content.get("multipart/form-data", {}).get("schema", {}).get("properties", {})
        command += "".join(f" -F {name}=@FILE" for name in form)
    elif operation["method"] != "get":
        command += f" -X {operation['method'].upper()}"
    return f"{command} http://127.0.0.1:8000{operation['path']}"


def _code(text: str) -> Markup:
    """Plain text with `code` in backticks as HTML."""
    pieces = " ".join(text.split()).split("`")
    return Markup().join(
        Markup("<code>{}</code>").format(piece) if i % 2 else escape(piece) for i, piece in enumerate(pieces)
    )
