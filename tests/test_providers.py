"""Keys come from the environment only, go to safe addresses only, and show up nowhere."""

from __future__ import annotations

import pytest

from evoxtral import UserError, providers
from helpers import fresh_python
from local_server import CANARY


def test_a_key_is_read_from_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " canary \n")
    assert providers.read_key("OPENAI_API_KEY") == "canary"
    monkeypatch.setenv("OPENAI_API_KEY", "  ")
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        providers.read_key("OPENAI_API_KEY")


@pytest.mark.parametrize("url", ["https://h", "http://127.0.0.1:1/v1", "http://[::1]/"])
def test_safe_addresses(url) -> None:
    assert providers.check_url(url) == url


@pytest.mark.parametrize("url", ["http://example.org/v1", "example.org/v1"])
def test_addresses_that_get_no_key(url) -> None:
    with pytest.raises(UserError, match="gets no key: give a base URL like"):
        providers.check_url(url)


def test_a_key_is_taken_out_and_a_word_in_its_place_is_left(monkeypatch) -> None:
    monkeypatch.setenv("ELEVENLABS_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    assert providers.one_line(f"anyone\nhas {CANARY}") == "anyone has ***"
    assert len(providers.one_line("c" * 1000)) == 300


def test_a_missing_package_is_missed_where_something_is_bought() -> None:
    code = """
import sys
sys.modules["openai"] = None
from evoxtral import UserError
from evoxtral.providers import elevenlabs, llm
try:
    llm._buy(None, {})
except UserError as error:
    print(error)
"""
    assert fresh_python(code) == "openai is missing: pip install evoxtral[providers]\n"
