"""Repeated only where nothing can have been billed; a journal loses no row."""

from __future__ import annotations

import email.utils
import time

import pytest

from evoxtral import UserError
from evoxtral.providers.claims import claim
from evoxtral.providers.journal import Journal
from evoxtral.providers.retry import Patience, ProviderError, patiently, refusal

QUICK = Patience(retries=3, backoff_seconds=0.001, longest_wait=2.0)


def failing(*errors):
    """A call that raises these and then returns the number of calls."""
    calls = []

    def call():
        calls.append(time.monotonic())
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        return len(calls)

    call.times = calls
    return call


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_a_busy_server_is_asked_again(status):
    assert patiently(failing(refusal(status, "busy", {})), QUICK) == 2


@pytest.mark.parametrize("status", [301, 400, 404, 413, 422])
def test_a_refused_request_is_not_repeated(status):
    call = failing(refusal(status, "no", {}))
    with pytest.raises(ProviderError, match=f"HTTP {status}: no") as caught:
        patiently(call, QUICK)
    assert len(call.times) == 1
    assert not caught.value.fatal


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, ""), (402, ""), (403, ""), (429, "code: insufficient_quota"), (400, "quota_exceeded")],
)
def test_no_key_and_no_credit_end_the_run(status, body):
    error = refusal(status, body, {})
    assert error.fatal
    assert not error.repeat


def test_what_may_have_been_billed_is_not_repeated():
    call = failing(ProviderError("timed out", perhaps_billed=True))
    with pytest.raises(ProviderError):
        patiently(call, QUICK)
    assert len(call.times) == 1


def test_patience_ends():
    call = failing(*[refusal(500, "", {})] * 9)
    with pytest.raises(ProviderError, match="no reason given"):
        patiently(call, QUICK)
    assert len(call.times) == 1 + QUICK.retries


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for(form):
    value = "1" if form == "seconds" else email.utils.formatdate(time.time() + 2, usegmt=True)
    call = failing(refusal(429, "", {"retry-after": value}))
    assert patiently(call, QUICK) == 2
    waited = call.times[1] - call.times[0]
    assert 0.9 <= waited < 3


def test_a_server_that_asks_for_an_hour_is_not_waited_for():
    call = failing(refusal(429, "", {"retry-after": "3600"}))
    with pytest.raises(ProviderError):
        patiently(call, QUICK)
    assert len(call.times) == 1


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan", "1e9"])
def test_a_strange_retry_after_is_none(value):
    assert refusal(429, "", {"retry-after": value}).after is None


def test_a_reason_is_one_short_line():
    text = str(ProviderError("a\nb\x1b[31m" + "c" * 1000))
    assert len(text) == 300
    assert text.isprintable()


def test_a_bug_is_not_repeated():
    call = failing(KeyError("bug"))
    with pytest.raises(KeyError):
        patiently(call, QUICK)
    assert len(call.times) == 1


def test_a_torn_line_is_cut_off_and_not_continued(tmp_path):
    path = tmp_path / "deep" / "journal.jsonl"
    Journal(path).append({"n": 1})
    with path.open("ab") as stream:
        stream.write(b'{"n": 2')
    journal = Journal(path)
    journal.append({"n": 3})
    assert list(Journal(path)) == [{"n": 1}, {"n": 3}]


def test_a_journal_that_is_only_a_torn_line_is_empty(tmp_path):
    (tmp_path / "j").write_bytes(b"{")
    assert list(Journal(tmp_path / "j")) == []


def test_a_journal_where_no_file_can_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot open"):
        Journal(tmp_path / "file" / "journal.jsonl")


def test_a_folder_serves_one_order(tmp_path):
    claim(tmp_path, "order.json", [1], {"n": 1})
    claim(tmp_path, "order.json", [1], {"n": 1})
    with pytest.raises(UserError, match="another order"):
        claim(tmp_path, "order.json", [2], {"n": 2})
    (tmp_path / "order.json").unlink()
    (tmp_path / "thesis.docx").write_text("")
    with pytest.raises(UserError, match=r"has no order\.json"):
        claim(tmp_path, "order.json", [1], {"n": 1})
