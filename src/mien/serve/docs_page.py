"""The OpenAPI document as one plain page, made on the server: nothing is loaded from another host."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse


def documentation_routes(app: FastAPI) -> APIRouter:
    """`/docs`."""
    router = APIRouter(include_in_schema=False)

    @cache
    def page() -> str:
        return documentation_page(app.openapi())

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(page())

    return router


def documentation_page(document: dict[str, Any]) -> str:
    """An OpenAPI document as HTML: each operation with what it takes and gives, and each schema."""
    info = document["info"]
    operations = [
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [_schema(name, schema) for name, schema in document["components"]["schemas"].items()]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(info['title'])} API</title>"
        '<link rel="icon" href="/icon.svg"><link rel="stylesheet" href="/docs.css"></head><body><main>'
        f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>"
        f"<p>{_text(info.get('description', ''))}</p>"
        '<p><a href="/openapi.json">The OpenAPI document</a> · <a href="/">The page</a></p>'
        f"<h2>Operations</h2>{''.join(operations)}<h2>Schemas</h2>{''.join(schemas)}"
        "</main></body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f'<section id="{escape(operation["operationId"])}"><h3><code class="verb">{method.upper()}</code> '
        f"<code>{escape(path)}</code></h3><p><strong>{escape(operation.get('summary', ''))}.</strong> "
        f"{_text(operation.get('description', ''))}</p>"
    ]
    if parameters := operation.get("parameters"):
        rows = [
            (f"{p['name']} ({p['in']})", _kind(p["schema"]), p.get("description", "")) for p in parameters
        ]
        parts.append(_table("Parameters", ("Name", "Type", "Meaning"), rows))
    if body := operation.get("requestBody"):
        rows = [(kind, _kind(content["schema"]), "") for kind, content in body["content"].items()]
        parts.append(f"<p>{_text(body.get('description', ''))}</p>")
        parts.append(_table("Body", ("Content type", "Type", ""), rows))
    rows = [
        (status, _answer_kind(answer), answer.get("description", ""))
        for status, answer in operation["responses"].items()
    ]
    parts.append(_table("Answers", ("Status", "Type", "Meaning"), rows))
    parts.append(f"<pre><code>{escape(_curl(method, path, operation))}</code></pre></section>")
    return "".join(parts)


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = [(field, _kind(kind), kind.get("description", "")) for field, kind in schema["properties"].items()]
    table = _table("", ("Field", "Type", "Meaning"), rows)
    described = _text(schema.get("description", ""))
    name = escape(name)
    return f'<section id="{name}"><h3><code>{name}</code></h3><p>{described}</p>{table}</section>'


def _table(caption: str, heads: tuple[str, ...], rows: Sequence[tuple[str, str, str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row"><code>{escape(first)}</code></th><td>{kind}</td><td>{_text(meaning)}</td></tr>'
        for first, kind, meaning in rows
    )
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _answer_kind(answer: dict[str, Any]) -> str:
    for kind, content in answer.get("content", {}).items():
        return _kind(content["schema"]) if content.get("schema") else escape(kind)
    return ""


def _kind(schema: dict[str, Any]) -> str:
    """A schema in few words, as HTML; a named one as a link to it."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}"><code>{name}</code></a>'
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        items = schema.get("items")
        several = schema.get("prefixItems", [])
        return f"list of {_kind(items)}" if items else f"list of {len(several)} numbers"
    if kind == "object":
        values = schema.get("additionalProperties")
        if isinstance(values, dict):
            return f"object of {_kind(values)}"
        fields = ", ".join(f"{name}: {_kind(one)}" for name, one in schema.get("properties", {}).items())
        return f"form ({fields})" if fields else "object"
    return "bytes" if schema.get("format") == "binary" or "contentMediaType" in schema else escape(str(kind))


def _curl(method: str, path: str, operation: dict[str, Any]) -> str:
    """The operation as a command line that can be pasted."""
    command = "curl"
    if operation.get("security"):
        command += ' -H "Authorization: Bearer $MIEN_API_KEY"'
    if "requestBody" in operation:
        kinds = operation["requestBody"]["content"]
        form = kinds.get("multipart/form-data", {}).get("schema", {}).get("properties", {})
        command += "".join(f" -F {name}=@FILE" for name in form)
    elif method != "get":
        command += f" -X {method.upper()}"
    return f"{command} http://127.0.0.1:8000{path}"


def _text(text: str) -> str:
    """Plain text with `code` in backticks as HTML."""
    pieces = escape(" ".join(text.split())).split("`")
    return "".join(f"<code>{piece}</code>" if i % 2 else piece for i, piece in enumerate(pieces))
