"""The access log without secrets: no values of a query, and no ids of jobs, which give access to results."""

from __future__ import annotations

import logging
import re

# Values of these parameters are shown: they are words of the API.
_SHOWN = ("labels", "format", "interval", "faces", "people")
_PARAMETER = re.compile(r"(?P<name>[^=&?\s\"]+)=(?P<value>[^&\s\"]*)")
_JOB = re.compile(r"(/v1/video/)[^/?\s\"]+")


def redact(target: str) -> str:
    """A path with its query, or a line that contains one, without secrets."""
    path, mark, query = target.partition("?")
    hidden = _PARAMETER.sub(
        lambda m: m[0] if m["name"] in _SHOWN and len(m["value"]) <= 20 else f"{m['name']}=***", query
    )
    if "=" not in query:
        hidden = query and "***"
    return _JOB.sub(r"\1***", path) + mark + hidden


class Redaction(logging.Filter):
    """Redacts the arguments of uvicorn's lines about requests and WebSockets."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is always logged."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                redact(each) if isinstance(each, str) and "/" in each else each for each in record.args
            )
        return True
