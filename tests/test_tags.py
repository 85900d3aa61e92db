"""Tags: vocabulary, the report's reading of a text, and the repairing one."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import tags
from evoxtral.tags import Tag, Transcript
from helpers import written

PROPERTY = settings(deadline=None)

WORDS = st.text("abcXYZ'.,!?-é", min_size=1, max_size=6)
NAMES = st.sampled_from([*tags.TAGS, "slams door", "sniffs"])


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    words = draw(st.lists(WORDS, max_size=8))
    places = sorted(draw(st.lists(st.integers(0, len(words)), max_size=5)))
    return Transcript(tuple(words), tuple(Tag(draw(NAMES), place) for place in places))


def test_groups_and_valence_partition_the_vocabulary():
    assert len(tags.TAGS) == 17
    grouped = [tag for members in tags.GROUPS.values() for tag in members]
    assert sorted(grouped) == sorted(tags.TAGS)
    assert {group: len(members) for group, members in tags.GROUPS.items()} == {
        "emotion": 8,
        "nonverbal": 5,
        "delivery": 3,
        "pause": 1,
    }
    assert tags.VALENCE.keys() == set(tags.TAGS)
    assert set(tags.VALENCE.values()) == {"positive", "negative", "neutral"}


@pytest.mark.parametrize(
    ("tag", "group"),
    [
        ("calm", "emotion"),
        ("Clears  Throat", "nonverbal"),
        ("stammers", "delivery"),
        ("pause", "pause"),
        ("laughs nervously", "other"),
        ("sniffs", "other"),
        ("yawns", "other"),
    ],
)
def test_group_of_has_an_open_vocabulary(tag, group):
    assert tags.group_of(tag) == group


@pytest.mark.parametrize(
    ("text", "found", "stripped", "plain"),
    [
        ("", [], "", ""),
        ("No tags.", [], "No tags.", "No tags."),
        ("[Sighs] I said NO", ["sighs"], "I said NO", "I said no"),
        ("so [pause] then [pause]", ["pause", "pause"], "so then", "so then"),
        ("so[pause]then", ["pause"], "sothen", "sothen"),
        ("[ Laughs ] hi", [" laughs "], "hi", "hi"),
        ("[clears\nthroat]\n hi", ["clears\nthroat"], "hi", "hi"),
        ("[[laughs]] hi", ["[laughs"], "] hi", "] hi"),
        ("[laughs hi", [], "[laughs hi", "[laughs hi"),
        ("laughs] hi", [], "laughs] hi", "laughs] hi"),
        ("[] hi", [], "[] hi", "[] hi"),
        ("I CAN'T, A B", [], "I CAN'T, A B", "I can'T, A B"),
    ],
)
def test_the_report_reads_the_raw_text(text, found, stripped, plain):
    assert tags.find_tags(text) == found
    assert tags.strip_tags(text) == stripped
    assert tags.plain_text(text) == plain


@pytest.mark.parametrize(
    ("text", "report", "strict", "plain"),
    [
        ("I am FINE, TOTALLY fine", ["fine", "totally"], ["fine", "totally"], None),
        ("I, A", [], [], "I, A"),
        ("NASA NO NO", ["nasa", "no", "no"], ["nasa", "no", "no"], None),
        ("ABc aBC B2B U.S.", [], [], "ABc aBC B2B U.S."),
        ("CAN'T I’M", ["can"], ["can't", "i'm"], None),
        ("[LAUGHS] oh X-RAY", ["laughs", "ray"], ["ray"], "oh X-ray"),
        ("ÉTÉ E\u0301TE\u0301 NON", ["te", "non"], ["été", "été", "non"], None),
        ("ΟΧΙ НЕТ 名前 “No…”", [], ["οχι", "нет"], 'οχι нет 名前 "No..."'),
    ],
)
def test_emphasis_of_the_report_is_in_ascii_and_strictly_a_word(text, report, strict, plain):
    assert tags.emphasis_words(text) == report
    transcript = tags.parse(text)
    assert transcript.emphasis == strict
    assert plain is None or transcript.plain == plain


@pytest.mark.parametrize(
    ("text", "words", "names"),
    [
        ("", [], []),
        ("   \n", [], []),
        ("[ Laughs ] hi", ["hi"], [("laughs", 0)]),
        ("[clears\nthroat] hi", ["hi"], [("clears throat", 0)]),
        ("so[pause]then", ["so", "then"], [("pause", 1)]),
        ("[[laughs]] hi", ["hi"], [("laughs", 0)]),
        ("[very [sad] hi", ["very", "hi"], [("sad", 1)]),
        ("[laughs hi", ["laughs", "hi"], []),
        ("hi [laughs", ["hi", "laughs"], []),
        ("laughs] hi", ["laughs", "hi"], []),
        ("]hi[", ["hi"], []),
        ("[] hi [ ]", ["hi"], []),
        ("[sad][calm] hi", ["hi"], [("sad", 0), ("calm", 0)]),
        ("Well [pause], so", ["Well,", "so"], [("pause", 1)]),
        ("No[laughs]!", ["No!"], [("laughs", 1)]),
        ("so [pause] [sad]... and", ["so...", "and"], [("pause", 1), ("sad", 1)]),
        ("[sighs], so", [",", "so"], [("sighs", 0)]),
        ('Oh "[sighs][sad] no"', ["Oh", '"no"'], [("sighs", 1), ("sad", 1)]),
        ('oh "', ["oh", '"'], []),
        (
            "Oh. [pause] NO! [laughs nervously]",
            ["Oh.", "NO!"],
            [("pause", 1), ("laughs nervously", 2)],
        ),
    ],
)
def test_parse_repairs_broken_brackets(text, words, names):
    transcript = tags.parse(text)
    assert list(transcript.words) == words
    assert [(tag.name, tag.word_index) for tag in transcript.tags] == names


@pytest.mark.parametrize(
    ("text", "balanced"),
    [
        ("", True),
        ("[sad] oh [pause]", True),
        ("[sad oh", False),
        ("sad] oh", False),
        ("]oh[", False),
        ("[[sad]] oh", False),
        ("[] oh", False),
        ("[\n] oh", False),
    ],
)
def test_is_balanced(text, balanced):
    assert tags.is_balanced(text) is balanced


@PROPERTY
@given(transcripts())
def test_parse_undoes_writing(transcript):
    text = written(transcript)
    assert tags.parse(text) == transcript
    assert tags.is_balanced(text)


@PROPERTY
@given(transcripts())
def test_stripping_undoes_writing(transcript):
    text = written(transcript)
    assert tags.strip_tags(text) == transcript.text
    assert tags.find_tags(text) == [tag.name for tag in transcript.tags]


def readings_agree(text: str) -> bool:
    """What the module says of both readings, for texts without opening marks."""
    tag = r"\[[^\[\]]+\]"
    agree = tags.is_balanced(text)
    agree &= all(name == tags.normalise_tag(name) for name in tags.find_tags(text))
    for run in re.finditer(rf"(\s*){tag}(?:\s*{tag})*(\s*)", text):
        mark = not run[2] and re.match(r",+([\s\[]|$)", text[run.end() :])
        if text[: run.start()] and text[run.end() :]:
            agree &= bool(run[1]) != bool(mark)
    return agree


@PROPERTY
@given(st.text("aB, []\n", max_size=30))
def test_parse_reads_any_text_and_says_where_it_differs_from_the_report(text):
    transcript = tags.parse(text)
    assert tags.parse(written(transcript)) == transcript
    ours = list(transcript.words), [tag.name for tag in transcript.tags]
    theirs = tags.strip_tags(text).split(), tags.find_tags(text)
    assert (ours == theirs) == readings_agree(text)


@pytest.mark.parametrize(
    ("text", "ours", "findings"),
    [
        ("[S1] oh [Speaker B]: no", "oh no", ["[S#] dropped", "[Speaker B] dropped"]),
        ("[00:12] oh [0.5s - 1.2s]", "oh", ["[##:##] dropped", "[#.#s - #.#s] dropped"]),
        ("[music] oh <noise>", "[music] oh [noise]", ["<noise> read as [noise]"]),
        ("<laugh>oh</laugh>", "[laughs]oh", ["<laugh> read as [laughs]", "</laugh> dropped"]),
        ("(Gasping) oh", "[gasps] oh", ["(Gasping) read as [gasps]"]),
        ("**sighs** oh", "[sighs] oh", ["**sighs** read as [sighs]"]),
        ("(oh [SAD] no)", "(oh [sad] no)", ["[SAD] read as [sad]"]),
        ("(I think) *not* (sad) at (12:30) 2 * 3 * 4 <3", None, []),
        ("[ ] oh [very [sad] <> ()", None, []),
    ],
)
def test_marks_of_other_corpora_are_mapped_kept_or_dropped(text, ours, findings):
    assert tags.read_marks(text) == (text if ours is None else ours, findings)


@PROPERTY
@given(transcripts())
def test_our_own_tags_are_no_foreign_marks(transcript):
    text = written(transcript)
    assert tags.read_marks(text) == (text, [])


@PROPERTY
@given(st.text(max_size=40))
def test_plain_text_holds_no_emphasis(text):
    assert tags.emphasis_words(tags.plain_text(text)) == []


def test_released_scripts_are_balanced_and_hold_26_tags(released_path):
    texts = [row["tagged_text"] for row in json.loads(released_path.read_text("utf-8"))]
    found = [tag for text in texts for tag in tags.find_tags(text)]
    assert (len(texts), len(found), len(set(found))) == (1010, 2782, 26)
    assert sorted({tag for tag in found if tags.group_of(tag) == "other"}) == [
        "curious",
        "curious tone",
        "emotional",
        "laughs nervously",
        "serious",
        "slams door",
        "sniffles",
        "worried",
        "yawns",
    ]
    for text in texts:
        transcript = tags.parse(text)
        assert tags.is_balanced(text)
        assert [tag.name for tag in transcript.tags] == tags.find_tags(text)
        # Two scripts end in `it [sighs].`
        words = " ".join(tags.strip_tags(text).split())
        assert transcript.text == re.sub(r" \.$", ".", words)
        assert tags.read_marks(text) == (text, [])
