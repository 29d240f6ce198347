"""The settings of a server are checked before it starts."""

from __future__ import annotations

import pytest

from mien.errors import UsageError
from mien.serve.settings import Settings, is_loopback

KEY = "a-key-of-24-characters-x"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.4.2", "LOCALHOST"])
def test_this_machine_needs_no_key(host: str) -> None:
    assert Settings(host=host).local


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.1.7", "example.org", "127.0.0.1.example.org"])
def test_listening_beyond_this_machine_without_a_key_is_refused(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(UsageError, match="--without-key"):
        Settings(host=host)


def test_it_is_allowed_with_a_key_or_with_the_option() -> None:
    assert not Settings(host="0.0.0.0", api_key=KEY).local
    assert not Settings(host="0.0.0.0", without_key=True).local


def test_a_short_key_is_refused_without_being_shown() -> None:
    with pytest.raises(UsageError) as caught:
        Settings(api_key="hunter2")
    assert "hunter2" not in str(caught.value)
    assert "7 characters" in str(caught.value)


def test_the_key_is_not_in_the_repr_of_the_settings() -> None:
    assert KEY not in repr(Settings(api_key=KEY))


def test_no_workers_are_refused() -> None:
    with pytest.raises(UsageError, match="workers"):
        Settings(workers=0)
