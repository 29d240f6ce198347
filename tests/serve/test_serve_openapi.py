"""The server behaves as in its OpenAPI document: schemathesis sends the requests that the document allows,
and some that it does not allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from mien.serve.settings import Settings

OPERATIONS = {
    "POST /v1/analyze",
    "GET /v1/about",
    "POST /v1/video",
    "GET /v1/video/{job_id}",
    "GET /v1/video/{job_id}/result",
    "DELETE /v1/video/{job_id}",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
}
# Invalid arguments only for operations with arguments.
CASES = [(label, GenerationMode.POSITIVE) for label in sorted(OPERATIONS)] + [
    (label, GenerationMode.NEGATIVE) for label in sorted(OPERATIONS) if "video" in label or "analyze" in label
]


@pytest.fixture(scope="module")
def operations(model: Path, listen: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """The operations of a listening server's document, by name."""
    with listen(Settings(model=model, workers=1)) as address:
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        found = [result.ok() for result in schema.get_all_operations()]
        yield {operation.label: operation for operation in found}


def test_every_operation_is_in_the_document(operations: dict[str, Any]) -> None:
    assert set(operations) == OPERATIONS


@pytest.mark.parametrize(("label", "mode"), CASES, ids=lambda value: getattr(value, "value", value))
def test_responses_match_the_document(operations: dict[str, Any], label: str, mode: GenerationMode) -> None:
    """Status, content type and body as documented, and no failure of the server.

    Bytes are a string in the document, but few strings are images: they may be refused.
    """
    operation = operations[label]

    @settings(
        max_examples=6,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    send()
