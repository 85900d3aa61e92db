"""Brackets while decoding: known tags only, and no help where none is needed."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import tags
from evoxtral.decode import BracketGuard, Decoding, decode
from evoxtral.decode.decode import _Rows
from evoxtral.model import Prompter, encode, open_base, read_cached
from evoxtral.world.base.model import Architecture, build_model

EOS = 2
NAMES = ("pause", "sad", "sadly so")
PIECES = (
    *("", "", "", "a", " so", "[", "]", " [", "] [", "][", "pause", "pa", "use", "[pause]", "sad"),
    *("s", "ad", "ly", "ly so", "d] a", "sad][pau", "[sad", "x]", "[[", "]]", "\ufffd", "use] [s"),
)
GUARD = BracketGuard(PIECES, EOS, NAMES)


def obeys(text, names=NAMES):
    """Whether every bracket belongs to a known tag, by replacing instead of reading."""
    rest = re.sub("|".join(re.escape(f"[{name}]") for name in names), "", text)
    return "[" not in rest and "]" not in rest


def text_of(ids, pieces=PIECES):
    return "".join(pieces[token] for token in ids)


def accepted(ids, limit, guard=GUARD):
    """Whether a decoder under the guard may write these tokens within so many."""
    state = 0
    for step, token in enumerate(ids):
        if guard.costs[state, token] > limit - step - 1:
            return False
        state = guard.after(state, token)
    return True


tokens = st.lists(st.sampled_from([i for i in range(len(PIECES)) if i != EOS]), max_size=7)


@settings(max_examples=1500, deadline=None)
@given(ids=tokens, spare=st.integers(0, 3))
def test_what_obeys_is_accepted_and_nothing_else(ids, spare):
    """Both ways: a text that obeys in the end was allowed at each of its tokens."""
    if obeys(text_of(ids)):
        assert accepted(ids, len(ids) + spare)
        assert accepted([*ids, EOS], len(ids) + 1)
    else:
        assert not accepted([*ids, EOS], len(ids) + 1 + spare)
        assert not accepted(ids, len(ids))


@settings(max_examples=300, deadline=None)
@given(choices=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=9))
def test_there_is_always_a_token_and_the_limit_comes_outside(choices):
    state, ids = 0, []
    for step, choice in enumerate(choices):
        allowed = torch.nonzero(GUARD.costs[state] <= len(choices) - step - 1).flatten().tolist()
        assert allowed
        token = allowed[int(choice * len(allowed))]
        ids.append(token)
        if token == EOS:
            break
        state = GUARD.after(state, token)
    assert obeys(text_of(ids))


def test_costs_are_the_shortest_ways_out():
    cost = {piece: int(GUARD.costs[0, i]) for i, piece in enumerate(PIECES)}
    assert cost["a"] == cost["[pause]"] == cost[""] == 0
    assert cost["[sad"] == 1
    assert cost["["] == 2, "such as 'pause' and ']'"
    assert cost["]"] == cost["x]"] == cost["[["] == BracketGuard.NEVER


def test_no_end_inside_a_bracket():
    state = GUARD.after(0, PIECES.index("[sad"))
    assert GUARD.costs[state, EOS] == BracketGuard.NEVER
    assert GUARD.costs[0, EOS] == 0


def test_a_vocabulary_that_cannot_close_opens_nothing():
    guard = BracketGuard(["", "a", "[", "pause", "[pause]"], 0)
    assert guard.costs[0].tolist() == [0, 0, BracketGuard.NEVER, 0, 0]


@pytest.fixture(scope="module")
def tiny():
    base = open_base("tiny", "cpu")
    return base, Prompter(base)


@pytest.mark.parametrize("tag", tags.TAGS)
def test_the_embedded_tokenizer_can_write_every_tag(tiny, tag):
    _, prompter = tiny
    guard = BracketGuard.of(prompter)
    for text in (f"[{tag}] Well [{tag}][{tag}].", f"It's [{tag}]"):
        ids = prompter.target(text)
        assert accepted(ids, len(ids), guard)
    unclosed = ids[: ids.index(prompter.eos) - 1]
    assert not accepted(unclosed, len(unclosed), guard)
    for text in (
        f"[{tag}",
        f"[{tag} ]",
        f"[{tag.title()}]",
        f"{tag}]",
        "[]",
        "[sniffs]",
        "[[sad]]",
    ):
        ids = prompter.target(text)
        assert not accepted(ids, len(ids) + 5, guard)


SMALL = Architecture(2, 80, 32, 1, 2, 32, 1, 2, 1)
PROMPT = [1, *[24] * SMALL.audio_tokens, 4]
BRACKETED = [
    *("[", "]", " [", "] [", "[pause]", "[sad", "sad", "sighs", " a", "b", "cl", "ears throat"),
    *("pa", "use", "c", "r", "ying", "]."),
]


def bracketed_model(seed, size=60):
    """A model that writes brackets all the time, and what its tokens spell."""
    torch.manual_seed(seed)
    model = read_cached(build_model(SMALL, size).requires_grad_(False).eval())
    model.lm_head.weight.mul_(20)
    rng = np.random.default_rng(seed)
    pieces = ["", "", "", *rng.choice([*BRACKETED, *BRACKETED, "word ", " and"], size - 3)]
    for token, piece in enumerate(BRACKETED, start=30):
        pieces[token] = piece
    pieces[24] = ""
    return model, pieces


def seeds(clips, k):
    return [[(1, clip, index) for index in range(k)] for clip in range(clips)]


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.5])
@pytest.mark.parametrize("limit", [1, 2, 5, 20])
def test_every_bracket_of_a_random_model_is_a_known_tag(temperature, limit):
    features = torch.randn(12, SMALL.frames, SMALL.encoder_width)
    settings, k = Decoding(limit, temperature, 0.95), 4
    helped = unchanged = tagged = 0
    for seed in range(3):
        model, pieces = bracketed_model(seed)
        arguments = model, PROMPT, features, settings, EOS, seeds(12, k), k
        guard = BracketGuard(pieces, EOS)
        for free, kept in zip(decode(*arguments), decode(*arguments, guard=guard), strict=True):
            for before, after in zip(free, kept, strict=True):
                text = text_of(after.ids, pieces)
                assert obeys(text, tags.TAGS), text
                tagged += bool(tags.find_tags(text))
                if obeys(text_of(before.ids, pieces), tags.TAGS):
                    assert after == before
                    unchanged += 1
                else:
                    helped += 1
    assert helped
    assert unchanged or (limit > 2 and temperature)
    assert tagged or limit < 5


def test_a_guarded_completion_depends_on_seed_clip_and_index_only():
    model, pieces = bracketed_model(0)
    model, guard = model.double(), BracketGuard(pieces, EOS)
    features = torch.randn(8, SMALL.frames, SMALL.encoder_width).double()
    how, own = Decoding(16, 1.0), seeds(8, 3)
    whole = decode(model, PROMPT, features, how, EOS, own, 3, guard)
    parts = [
        decode(model, PROMPT, features[i : i + 3], how, EOS, own[i : i + 3], 3, guard)
        for i in (0, 3, 6)
    ]
    assert [completions for part in parts for completions in part] == whole


def test_the_second_draw_follows_the_distribution_of_what_may_come():
    """Refused tokens are drawn again by a number of their own: nothing is favoured."""
    logits = torch.tensor([0.3, 1.0, -0.5, 2.0, 0.0])
    pieces = ["", "a", "b", "[", "]"]
    draws = torch.from_numpy(np.random.default_rng(0).random((200_000, 2, 1)))
    rows = _Rows(200_000, Decoding(1, 1.0), 0, draws, torch.device("cpu"), BracketGuard(pieces, 0))
    rows.step(logits.expand(200_000, -1))
    made = np.bincount(rows.last.numpy(), minlength=5) / 200_000
    wanted = torch.cat([logits[:3].softmax(dim=0), torch.zeros(2)]).numpy()
    np.testing.assert_allclose(made, wanted, rtol=0, atol=0.004)


def test_the_embedded_base_is_not_disturbed(tiny, spoken_mels):
    """It writes no bracket: its transcripts are the same under the guard."""
    base, prompter = tiny
    features = torch.cat([encode(base.model, mels).clone() for mels in list(spoken_mels)[:6]])
    arguments = base.model, prompter.prompt(1), features, Decoding(30), prompter.eos
    read_cached(base.model)
    assert decode(*arguments, guard=BracketGuard.of(prompter)) == decode(*arguments)
