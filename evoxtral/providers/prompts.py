"""What the writing model and the judging model are told."""

from __future__ import annotations

from collections.abc import Sequence

from evoxtral import tags
from evoxtral.providers.briefs import Brief
from evoxtral.providers.chat import Message

_SYSTEM = """\
You write short scripts that a voice actor speaks in one breath of a scene, for a data set that \
teaches speech recognition to hear expression. Only what is spoken is written, in natural spoken \
English, with expression marked in square brackets where it begins:

{tags}

A tag stands before the words it colours, or at the moment of the sound or the silence. Use these \
tags only, in lower case, one per bracket. A word in CAPITALS is spoken with emphasis. Stammers \
are also spelt ("I-I"). No stage directions, no names of speakers, no quotation marks around the \
script, no line breaks, no digits. Never describe a sound in words in place of its tag."""

_GROUP_NAMES = {
    "emotion": "Emotion",
    "nonverbal": "Sounds",
    "delivery": "Delivery",
    "pause": "Silence",
}

# Alternative wordings of one task: the model should not settle on one reading of it.
_OPENINGS = (
    "Write {rows} new scripts for the setting: {domain}.",
    "Imagine {rows} different speakers in a {domain}, and write what each says.",
    "Take {rows} unlike situations of the kind {domain}, and write one script for each.",
)

_JUDGE = """\
You judge scripts for expressive speech: spoken English with tags in square brackets. First say in \
two sentences what is good and what is bad about the script: would a person say this aloud, do the \
tags fit the words and stand where they sound, could a listener hear each of them? Then give a \
score: 5 flawless, 4 good, 3 usable, 2 unnatural words or misplaced tags, 1 unusable."""


def writing(brief: Brief, words: tuple[int, int]) -> list[Message]:
    """The conversation that opens a brief.

    Args:
        brief: What to write.
        words: Least and most words of a script.
    """
    vocabulary = "\n".join(
        f"{_GROUP_NAMES[group]}: {', '.join(f'[{name}]' for name in names)}"
        for group, names in tags.GROUPS.items()
    )
    task = _paraphrase(brief) if brief.source is not None else _new(brief)
    rules = "\n".join(f"- {rule}" for rule in [*_rules(brief), _length(words)])
    shown = "\n".join(f"{number}. {text}" for number, text in enumerate(brief.examples, start=1))
    user = f"{task}\n{rules}\n\nExamples of the form, not to be repeated:\n{shown}"
    return [
        {"role": "system", "content": _SYSTEM.format(tags=vocabulary)},
        {"role": "user", "content": user},
    ]


def _new(brief: Brief) -> str:
    opening = _OPENINGS[brief.number % len(_OPENINGS)]
    return opening.format(rows=brief.rows, domain=brief.domain)


def _paraphrase(brief: Brief) -> str:
    return (
        f"Write {brief.rows} alternatives to this script: the same tags in an order of your own, "
        f"in other words, sentences and circumstances.\nScript: {brief.source}"
    )


def _rules(brief: Brief) -> list[str]:
    if brief.most == 0:
        return ["No tags at all: plain, neutral speech."]
    if brief.source is not None:
        rules = [f"Exactly these tags: {_listed(brief.required)}."]
    else:
        span = f"{brief.fewest} to {brief.most}" if brief.most > brief.fewest else f"{brief.most}"
        rules = [f"Each script has {span} tags, among them {_listed(brief.required)}."]
    if brief.avoid:
        rules.append(f"None has {_listed(brief.avoid)}.")
    if brief.emphasis:
        rules.append("Each has one or two words in CAPITALS.")
    return rules


def _length(words: tuple[int, int]) -> str:
    return f"Each has {words[0]} to {words[1]} words, not counting tags; vary the length."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"[{name}]" for name in names)


def again(reply: str, reasons: Sequence[str], missing: int) -> list[Message]:
    """What is added to a conversation after a reply that was not good enough.

    Args:
        reply: What the model wrote.
        reasons: Why some of it was rejected.
        missing: Scripts still wanted.
    """
    said = "\n".join(f"- {reason}" for reason in reasons)
    return [
        {"role": "assistant", "content": reply},
        {"role": "user", "content": f"Rejected:\n{said}\nWrite {missing} others in their place."},
    ]


def judging(text: str) -> list[Message]:
    """The conversation that asks for one vote on a script."""
    return [{"role": "system", "content": _JUDGE}, {"role": "user", "content": f"Script: {text}"}]
