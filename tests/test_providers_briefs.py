"""Briefs steer a set to the note's targets; replies are judged row by row."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import tags
from evoxtral.mix.goals import DENSITY, density_goals, tag_count_goals, tag_share_goals
from evoxtral.mix.items import Features
from evoxtral.providers.briefs import SEEDS, Brief, Tally, next_brief, slice_of, stratum_of
from evoxtral.providers.prompts import again, judging, writing
from evoxtral.providers.replies import (
    SCRIPTS_SCHEMA,
    VOTE_SCHEMA,
    BadReplyError,
    faults,
    near_existing,
    read_scripts,
    read_vote,
)
from evoxtral.world.scripts import DOMAINS, Script, generate

WORDS = (5, 65)
BRIEF = Brief(0, 5, 1, 2, ("sighs",), ("pause",), True, "podcast", ("[sad] Example.",))


def script(text: str, domain: str = "podcast") -> Script:
    return Script("x", text, "light", domain, "written", False)


def obey(brief: Brief, rng: random.Random) -> str:
    """A script that fulfils a brief to the letter, and no more than that."""
    names = list(brief.required)
    while len(names) < brief.fewest:
        names.append(rng.choice([name for name in tags.TAGS if name not in brief.avoid]))
    words = ["".join(rng.choices("abcdefgh", k=9)) for _ in range(12)]
    words[3] = "NOW" if brief.emphasis else "now"
    return " ".join([*(f"[{name}]" for name in names), *words])


def grow(target: int, paraphrase_share: float = 0.25) -> list[Script]:
    """A set written by a model that obeys, eight briefs to a round."""
    rng, accepted, number = random.Random(0), [], 0
    seeds = generate(SEEDS, 1)
    while len(accepted) < target:
        tally, ordered = Tally.of(accepted), []
        while len(ordered) < 8 and len(accepted) + sum(b.rows for b in ordered) < target:
            left = target - len(accepted) - sum(b.rows for b in ordered)
            brief = next_brief(
                tally, number, [*seeds, *accepted], accepted,
                target=target, rows=min(5, left), paraphrase_share=paraphrase_share, seed=3,
            )  # fmt: skip
            tally.expect(brief)
            ordered.append(brief)
            number += 1
        for brief in ordered:
            texts = [obey(brief, rng) for _ in range(brief.rows)]
            assert [faults(text, brief, WORDS) for text in texts] == [None] * brief.rows
            accepted += [script(text, brief.domain) for text in texts]
    return [replace(s, id=f"s{i}") for i, s in enumerate(accepted)]


@pytest.mark.parametrize("target", [200, 800])
def test_a_model_that_obeys_meets_the_targets_of_the_note(target):
    features = Features.of(grow(target))
    goals = [*density_goals(features), *tag_share_goals(features)]
    goals += tag_count_goals(features) if target == 800 else []
    missed = {goal.row: goal.measured() for goal in goals if goal.verdict() != "yes"}
    assert missed == {}


def test_domains_are_used_equally():
    counts = Tally.of(grow(200, paraphrase_share=0)).domains
    assert set(counts) == set(DOMAINS)
    assert max(counts.values()) - min(counts.values()) <= 5


def test_a_brief_is_a_function_of_its_number_and_the_set():
    seeds = generate(12, 1)
    options = {"target": 100, "rows": 5, "paraphrase_share": 0.0, "seed": 3}
    first = next_brief(Tally(), 7, seeds, [], **options)
    assert first == next_brief(Tally(), 7, seeds, [], **options)
    assert len(set(first.examples)) == SEEDS
    others = {next_brief(Tally(), n, seeds, [], **options).examples for n in range(20)}
    assert len(others) > 15, "examples are drawn anew"


def test_a_paraphrase_keeps_the_tags_and_prefers_the_rarest():
    accepted = [script("[sad] [pause] It is NOT here any more."), script("[gasps] Look at that!")]
    tally = Tally(strata=Counter(dict.fromkeys(DENSITY, 100)), having=Counter(tags.TAGS * 50))
    tally.strata[stratum_of(1)] = 0
    tally.having["gasps"] = 0
    options = {"target": 200, "rows": 5, "paraphrase_share": 1.0, "seed": 3}
    brief = next_brief(tally, 0, generate(8, 1), accepted, **options)
    assert brief.source == accepted[1].tagged_text
    assert (brief.required, brief.rows, brief.fewest, brief.most) == (("gasps",), 2, 1, 1)
    assert brief.source in writing(brief, WORDS)[1]["content"]
    assert next_brief(tally, 0, generate(8, 1), [], **options).source is None


def test_pauses_and_capitals_stay_in_their_band():
    often = Tally.of([script("[pause] [sad] It is NOT here.")] * 30)
    options = {"target": 100, "rows": 5, "paraphrase_share": 0.0, "seed": 3}
    brief = next_brief(often, 0, generate(8, 1), [], **options)
    while brief.fewest == 0:
        often.expect(brief)
        brief = next_brief(often, brief.number + 1, generate(8, 1), [], **options)
    assert brief.avoid == ("pause",)
    assert not brief.emphasis


@given(st.integers(0, 30))
def test_strata_and_slices_cover_every_count(n):
    fewest = DENSITY[stratum_of(n)][0]
    assert fewest <= n
    assert slice_of(n) in ("plain", "light", "moderate", "dense")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[sighs] We are NOT going there today.", None),
        ("[sighs] We are [excited] NOT going there.", None),
        ("[sighs We are NOT going there today.", "broken brackets"),
        ("[sighs] We are NOT going (laughs) there.", "only what is spoken"),
        ("Anna: [sighs] We are NOT going there.", "only what is spoken"),
        ('"[sighs] We are NOT going there today."', "only what is spoken"),
        ("[sighs] We are NOT going at 9 today.", "'9': numbers are written as words"),
        ("[sighs] NOT going.", "2 words"),
        ("[sighs] " + "NOT going " * 40, "80 words"),
        ("[sighs] We are not going there today.", "no word in CAPITALS"),
        ("We are NOT going there today.", "0 tags: 1 to 2"),
        ("[sighs] [sad] [sad] We are NOT going there.", "3 tags"),
        ("[sad] We are NOT going there today.", "[sighs] is missing"),
        ("[sighs] [pause] We are NOT going there.", "[pause] is not wanted"),
        ("[sniffs] [sighs] We are NOT going there.", "[sniffs] is not one of the tags"),
        ("[Sighs] We are NOT going there today.", "[sighs] is not one of the tags, in lower case"),
        ("[sighs] We are NOT\x07 going there today.", "control characters"),
    ],
)
def test_a_script_is_held_to_its_brief(text, reason):
    found = faults(text, BRIEF, WORDS)
    assert found == reason if reason is None else reason in found


def test_a_paraphrase_has_the_same_tags():
    brief = replace(BRIEF, source="[sad] [sad] x", required=("sad", "sad"), fewest=2, most=2)
    assert faults("[sad] We are NOT [sad] going there.", brief, WORDS) is None
    assert faults("[sad] We are NOT [calm] going there.", brief, WORDS) == "not the same tags"


def test_rows_are_judged_one_by_one():
    rows = [{"tagged_text": " a\n b "}, {"tagged_text": 3}, {}, "x", {"tagged_text": "", "y": 1}]
    first, *others = read_scripts(json.dumps({"scripts": rows}))
    assert first == "a b"
    assert all(isinstance(row, BadReplyError) for row in others)
    assert "tagged_text" in str(others[0])


@pytest.mark.parametrize(
    ("content", "finish", "reason"),
    [
        ("", None, "not valid JSON"),
        ("```json\n{}\n```", "stop", "not valid JSON"),
        ('{"scripts": [{"tagged', "length", "cut at the token limit"),
        ("[]", None, "no JSON object"),
        ("{}", None, "no list"),
        ('{"scripts": []}', None, "no list"),
        ('{"scripts": "x"}', None, "no list"),
        ("[" * 100_000, None, "not valid JSON"),
        ("", "refusal", "refused"),
    ],
)
def test_a_reply_that_is_none(content, finish, reason):
    with pytest.raises(BadReplyError, match=reason):
        read_scripts(content, finish)


@pytest.mark.parametrize("score", [0, 6, 4.5, "4", None, True])
def test_a_vote_is_a_whole_number_from_one_to_five(score):
    assert read_vote(json.dumps({"reasoning": "r", "score": 4})) == 4
    with pytest.raises(BadReplyError):
        read_vote(json.dumps({"reasoning": "r", "score": score}))


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_reply_breaks_the_reader(content):
    for read in (read_scripts, read_vote):
        with pytest.raises(BadReplyError):
            read(content)


def test_schemas_are_of_the_strict_kind():
    for schema in (SCRIPTS_SCHEMA, VOTE_SCHEMA, *SCRIPTS_SCHEMA["$defs"].values()):
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])
    text = json.dumps([SCRIPTS_SCHEMA, VOTE_SCHEMA])
    assert not any(word in text for word in ("minimum", "maxLength", "title", "description"))


def test_near_texts_are_found_with_and_without_their_tags():
    existing = ["[sad] We never saw the harbour again that year."]
    texts = [
        "[calm] [pause] [sighs] We never saw the harbour again that year.",
        "Nobody knows where the keys are.",
        "Nobody knows where the keys were.",
        "[calm] All is well.",
    ]
    assert near_existing(texts, existing, 0.7) == [True, False, True, False]
    assert near_existing([], existing, 0.7) == []
    assert near_existing(["one"], [], 0.7) == [False]


def test_the_prompt_says_what_is_checked():
    system, user = (message["content"] for message in writing(BRIEF, WORDS))
    assert all(f"[{name}]" in system for name in tags.TAGS)
    for part in ("5 new", "podcast", "1 to 2 tags", "[sighs]", "None has [pause]", "CAPITALS",
                 "5 to 65 words", "1. [sad] Example."):  # fmt: skip
        assert part in user
    openings = {writing(replace(BRIEF, number=n), WORDS)[1]["content"][:20] for n in range(3)}
    assert len(openings) == 3
    plain = replace(BRIEF, fewest=0, most=0, required=(), avoid=(), emphasis=False)
    assert "No tags at all" in writing(plain, WORDS)[1]["content"]
    assert again("reply", ["too long"], 2)[1]["content"].endswith("Write 2 others in their place.")
    assert "[sad] x" in judging("[sad] x")[1]["content"]
