"""Keys come from the environment only, go to safe addresses only, and show up nowhere."""

from __future__ import annotations

import pytest

from evoxtral import UserError, providers
from helpers import fresh_python
from local_server import CANARY


@pytest.mark.parametrize("value", [None, "  ", "two words", "clé"])
def test_what_is_no_key_is_refused_without_being_shown(monkeypatch, value) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " canary \n")
    assert providers.read_key("OPENAI_API_KEY") == "canary"
    monkeypatch.delenv("OPENAI_API_KEY")
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(UserError, match="OPENAI_API_KEY") as caught:
        providers.read_key("OPENAI_API_KEY")
    assert not (value or "").strip() or value not in str(caught.value)


@pytest.mark.parametrize("url", ["https://h", "http://127.0.0.1:1/v1", "http://[::1]/"])
def test_safe_addresses(url) -> None:
    assert providers.check_url(url) == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://example.org/v1", "unencrypted"), ("example.org/v1", "must look like")],
)
def test_addresses_that_get_no_key(url, reason) -> None:
    with pytest.raises(UserError, match=reason):
        providers.check_url(url)


def test_a_key_is_taken_out_and_a_word_in_its_place_is_left(monkeypatch) -> None:
    monkeypatch.setenv("ELEVENLABS_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    assert providers.redact(f"anyone has {CANARY}") == "anyone has ***"
    line = providers.one_line("a\nb\x1b[31m" + "c" * 1000)
    assert (len(line), line.isprintable()) == (300, True)


@pytest.mark.parametrize(
    ("status", "body"), [(401, ""), (403, ""), (429, "code: insufficient_quota")]
)
def test_no_key_and_no_credit_end_the_run(status, body) -> None:
    with pytest.raises(UserError, match=f"it refuses to serve: HTTP {status}: .*; check key and"):
        providers.refusal("it", status, body)
    assert providers.refusal("it", 400, "") == "HTTP 400: no reason given"


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(UserError, match=r"pip install evoxtral\[providers\]"):
        providers.require("no_such_package_anywhere")
    code = """
import sys
for name in ("elevenlabs", "openai", "httpx"):
    sys.modules[name] = None
from evoxtral.providers import elevenlabs, llm
"""
    assert fresh_python(code) == ""
