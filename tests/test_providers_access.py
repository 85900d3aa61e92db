"""Keys come from the environment only, go to safe addresses only, and show up nowhere."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from evoxtral import UserError
from evoxtral.providers.access import check_url, read_key, redact, require
from helpers import fresh_python


def test_key_comes_from_the_environment_and_does_not_show(monkeypatch):
    monkeypatch.setenv("SOME_KEY", " canary \n")
    key = read_key("SOME_KEY")
    assert key.get_secret_value() == "canary"
    assert "canary" not in f"{key} {key!r}"


@pytest.mark.parametrize("value", [None, "", "  ", "two words", "clé", "a\nb"])
def test_what_is_no_key_is_refused_without_being_shown(monkeypatch, value):
    monkeypatch.delenv("SOME_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("SOME_KEY", value)
    with pytest.raises(UserError, match="SOME_KEY") as caught:
        read_key("SOME_KEY")
    assert not (value or "").strip() or value not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.elevenlabs.io",
        "http://127.0.0.1:8000/v1",
        "http://localhost/v1",
        "http://[::1]/",
    ],
)
def test_safe_addresses(url):
    assert check_url(url) == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.org/v1", "unencrypted"),
        ("https://canary@example.org", "no user"),
        ("https://example.org/?key=canary", "no user"),
        ("example.org/v1", "must look like"),
        ("file:///etc/passwd", "must look like"),
        ("https://[", "must look like"),
    ],
)
def test_addresses_that_get_no_key(url, reason):
    with pytest.raises(UserError, match=reason) as caught:
        check_url(url)
    assert "canary" not in str(caught.value)


def test_redact_takes_every_occurrence():
    assert redact("a k1 b k1", SecretStr("k1")) == "a *** b ***"


def test_a_missing_package_names_the_extra():
    with pytest.raises(UserError, match=r"pip install evoxtral\[providers\]"):
        require("no_such_package_anywhere")


def test_the_package_imports_and_estimates_without_the_extra():
    code = """
import sys
for name in ("elevenlabs", "openai", "tenacity", "httpx", "httpx2"):
    sys.modules[name] = None
from evoxtral import providers, scripts
lines = providers.cast(scripts.generate(3, 1), [providers.CastVoice("a")], "train", 0)
print(providers.estimate_speech(lines, providers.SpeechSettings(), ()).requests)
"""
    assert fresh_python(code) == "3\n"
