"""Transcripts of the same clips by several systems, to read and to hear, with errors marked.

What is marked is what the strict protocol counts: words are aligned by minimal edit distance and
compared as WER compares them, a tag is right if the reference has the same one within two words.
Colours are translucent and never the only sign, so that the page reads on a dark ground, in grey,
and at the width of a phone.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from IPython.display import HTML
from rapidfuzz.distance import Levenshtein

from evoxtral import UserError, tags
from evoxtral.figures.style import SYSTEMS
from evoxtral.metrics import TOLERANCE_WORDS, places_in_reference
from evoxtral.tags import Transcript

MARKS = """
.evx-read .tag{border-radius:.8em;padding:0 .45em;border:1.5px solid;white-space:nowrap;
font-size:.92em}
.evx-read .right{border-color:#009e73;background:rgba(0,158,115,.16)}
.evx-read .wrong{border-color:#d1242f;border-style:dashed;background:rgba(209,36,47,.13)}
.evx-read .neutral{border-color:rgba(128,128,128,.6)}
.evx-read .missed{border-color:rgba(128,128,128,.6);border-style:dotted}
.evx-read ins{text-decoration:underline #d1242f 2px;background:rgba(209,36,47,.13)}
.evx-read del{text-decoration:line-through;opacity:.6}
.evx-read small{opacity:.75}"""
"""Style of marked text inside an element of class `evx-read`."""

_STYLE = f"""<style>{MARKS}
.evx-read{{max-width:1000px;line-height:1.65}}
.evx-read .clip{{border-top:1px solid rgba(128,128,128,.35);padding:.6em 0 .7em}}
.evx-read .head{{display:flex;flex-wrap:wrap;align-items:center;gap:.2em 1em;margin-bottom:.3em}}
.evx-read audio{{flex:1 1 240px;max-width:420px;height:34px}}
.evx-read .row{{display:flex;flex-wrap:wrap;gap:0 .8em;margin:.25em 0}}
.evx-read .who{{box-sizing:border-box;flex:0 0 7em;font-weight:600;overflow-wrap:anywhere;
border-left:4px solid transparent;padding-left:.4em}}
.evx-read .said{{flex:1 1 240px;min-width:0;overflow-wrap:anywhere}}
.evx-read .said small{{display:block;line-height:1.3}}
.evx-read .key{{font-size:.9em;margin:.2em 0 .8em}}
@media(max-width:500px){{.evx-read .who{{flex-basis:6.8em}}}}
</style>"""
_KEY = (
    '<p class="key"><span class="tag right">✓ tag</span> in the reference, within two words · '
    '<span class="tag wrong">✗ tag</span> not there · <ins>word</ins> written instead or too much '
    "· <del>word</del> spoken, not written</p>"
)


@dataclass(frozen=True)
class Transcribed:
    """One clip and what each system made of it.

    Attributes:
        id: of the clip.
        reference: tagged text of what was said.
        predictions: tagged text by system, in the order shown; not trusted to be well-formed.
        audio: the sound as a data URI; no player where absent.
    """

    id: str
    reference: str
    predictions: Mapping[str, str]
    audio: str | None = None


@dataclass(frozen=True)
class Marked:
    """A prediction compared with its reference.

    Attributes:
        html: the prediction with its errors marked, escaped; a remark where it is empty.
        words: words of the reference.
        errors: words substituted, dropped and inserted.
        right: predicted tags that the reference has, within two words.
        wrong: predicted tags that it does not have there.
        missed: tags of the reference that no predicted one matches.
    """

    html: str
    words: int
    errors: int
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    missed: tuple[str, ...]

    @property
    def summary(self) -> str:
        """Counts in words.

        >>> mark("[sighs] not again", "[sad] not a gain").summary
        '2 errors in 2 words; tags: 0 right, 1 wrong, 1 missed'
        """
        errors = f"{_count(self.errors, 'error')} in {_count(self.words, 'word')}"
        tagged = f"{len(self.right)} right, {len(self.wrong)} wrong, {len(self.missed)} missed"
        none = not (self.right or self.wrong or self.missed)
        return f"{errors}; {'no tags' if none else f'tags: {tagged}'}"


def transcripts(rows: Sequence[Transcribed]) -> HTML:
    """Clips with a player, their references, and each system's transcript with errors marked.

    Raises:
        UserError: there is no clip.
    """
    if not rows:
        raise UserError("there are no transcripts to show: give at least one clip")
    return HTML(f'{_STYLE}<div class="evx-read">{_KEY}{"".join(map(_clip, rows))}</div>')


def mark(reference: str, prediction: str) -> Marked:
    """Compare a prediction with its reference, both tagged texts.

    The counts are those of protocol `strict`.
    """
    wanted, got = tags.parse(reference), tags.parse(prediction)
    found, missed = _match(wanted, got)
    text, errors = _words(wanted, got, found)
    return Marked(
        html=text if got.words or got.tags else "<small>nothing written</small>",
        words=len(wanted.words),
        errors=errors,
        right=tuple(t.name for t, hit in zip(got.tags, found, strict=True) if hit),
        wrong=tuple(t.name for t, hit in zip(got.tags, found, strict=True) if not hit),
        missed=missed,
    )


def plain_chips(text: str) -> str:
    """A tagged text as HTML, its tags in neutral outlines."""
    parsed = tags.parse(text)
    return " ".join(_interleave(parsed, [_chip(t.name, "neutral") for t in parsed.tags]))


def _match(wanted: Transcript, got: Transcript) -> tuple[list[bool], tuple[str, ...]]:
    """Which predicted tags are right, and the tags of the reference that none matches.

    Each tag is matched in turn with the first free one in reach, as `metrics.aligned_matches` does.
    """
    places = places_in_reference(wanted.words, got.words)
    free = list(wanted.tags)
    found = []
    for tag in got.tags:
        low, high = places[tag.word_index]
        reach = range(low - TOLERANCE_WORDS, high + TOLERANCE_WORDS + 1)
        hit = next((t for t in free if t.name == tag.name and t.word_index in reach), None)
        if hit is not None:
            free.remove(hit)
        found.append(hit is not None)
    return found, tuple(tag.name for tag in free)


def _words(wanted: Transcript, got: Transcript, found: Sequence[bool]) -> tuple[str, int]:
    """The prediction's words and tags in order, errors marked, and the number of errors."""
    keys = [[tags.plain_text(word) for word in t.words] for t in (wanted, got)]
    chips = [
        _chip(f"✓ {t.name}", "right") if hit else _chip(f"✗ {t.name}", "wrong")
        for t, hit in zip(got.tags, found, strict=True)
    ]
    shown = [html.escape(word) for word in got.words]
    dropped = [""] * (len(got.words) + 1)
    errors = 0
    for operation, i1, i2, j1, j2 in Levenshtein.opcodes(*keys):
        if operation == "equal":
            continue
        errors += max(i2 - i1, j2 - j1)
        if i2 > i1:
            dropped[j1] += f"<del>{html.escape(' '.join(wanted.words[i1:i2]))}</del> "
        for j in range(j1, j2):
            shown[j] = f"<ins>{shown[j]}</ins>"
    return " ".join(_interleave(got, chips, shown, dropped)).strip(), errors


def _interleave(
    parsed: Transcript,
    chips: Sequence[str],
    words: Sequence[str] | None = None,
    before: Sequence[str] | None = None,
) -> list[str]:
    """Tags at their places among the words, each word behind what was dropped before it."""
    words = [html.escape(word) for word in parsed.words] if words is None else words
    before = [""] * (len(words) + 1) if before is None else before
    parts = []
    for place in range(len(words) + 1):
        parts += [c for c, t in zip(chips, parsed.tags, strict=True) if t.word_index == place]
        parts.append(before[place] + (words[place] if place < len(words) else ""))
    return [part for part in parts if part]


def _chip(text: str, kind: str) -> str:
    return f'<span class="tag {kind}">{html.escape(text)}</span>'


def _clip(row: Transcribed) -> str:
    name = html.escape(row.id)
    player = ""
    if row.audio is not None:
        source = html.escape(row.audio)
        player = f'<audio controls preload="none" src="{source}" aria-label="{name}"></audio>'
    spoken = _row("Reference", plain_chips(row.reference))
    heard = "".join(_prediction(row.reference, *item) for item in row.predictions.items())
    head = f'<div class="head"><small>{name}</small>{player}</div>'
    return f'<div class="clip">{head}{spoken}{heard}</div>'


def _prediction(reference: str, system: str, text: str) -> str:
    marked = mark(reference, text)
    missed = "".join(f" {_chip(name, 'missed')}" for name in marked.missed)
    note = f"<small>{html.escape(marked.summary)}{':' if missed else ''}{missed}</small>"
    known = SYSTEMS.get(system.casefold())
    return _row(system, f"{marked.html}{note}", known.color if known else None)


def _row(who: str, said: str, color: str | None = None) -> str:
    style = f' style="border-color:{color}"' if color else ""
    name = f'<div class="who"{style}>{html.escape(who[:1].upper() + who[1:])}</div>'
    return f'<div class="row">{name}<div class="said">{said}</div></div>'


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
