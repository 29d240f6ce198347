"""Every error of mien ends the command line with its own exit code, as docs/reference/exit-codes.md lists."""

from __future__ import annotations

import pytest

from mien import errors
from mien.cli.app import main


def _kinds(kind: type[errors.MienError] = errors.MienError) -> list[type[errors.MienError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _kinds(child))]


@pytest.mark.parametrize("kind", _kinds(), ids=lambda kind: kind.__name__)
def test_an_error_is_one_line_on_stderr_and_its_exit_code(
    kind: type[errors.MienError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise kind("reading", "data") if kind is errors.MissingExtra else kind("what was wrong")

    monkeypatch.setattr("mien.cli.app.app", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code == kind.exit_code
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
