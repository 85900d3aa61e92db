"""Pages of a notebook: training tokens, completions, transcripts and sounds, to read and to hear.

What is marked in a transcript is what the strict protocol counts: words are aligned by minimal
edit distance and compared as WER compares them, a tag is right if the reference has the same one
within two words. Colours are translucent and never the only sign, so that a page reads on a dark
ground, in grey, and at the width of a phone.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby

import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure
from rapidfuzz.distance import Levenshtein

from evoxtral import tags
from evoxtral.clips.audio import SAMPLE_RATE, to_mp3
from evoxtral.figures import style
from evoxtral.metrics import TOLERANCE_WORDS, places_in_reference
from evoxtral.metrics.rewards import RewardWeights
from evoxtral.mix.chapter import Specimen

_CSS = files("evoxtral").joinpath("report/templates/reading.css").read_text(encoding="utf-8")
_KEY = (
    '<p class="key"><span class="tag right">✓ tag</span> in the reference, within two words · '
    '<span class="tag wrong">✗ tag</span> not there · <ins>word</ins> written instead or too much '
    "· <del>word</del> spoken, not written</p>"
)


def _page(kind: str, *parts: str) -> HTML:
    return HTML(f'<style>{_CSS}</style><div class="{kind}">{"".join(parts)}</div>')


def masked_example(tokens: Sequence[tuple[str, bool]]) -> HTML:
    """One training example: tokens the loss is computed on in colour, masked ones grey.

    `tokens` are text and whether it is a label, i.e. counts in the loss. Masked ones that repeat
    (audio, padding) are written once with their number.
    """
    parts = []
    for (text, label), run in groupby(tokens):
        count = len(list(run))
        if label:
            parts += [_token(text.replace("\n", "⏎").replace(" ", "·"), "label")] * count
        else:
            parts.append(_token(f"{text} × {count}" if count > 1 else text, "masked"))
    learnt = sum(label for _, label in tokens)
    said = f"<p>{len(tokens)} tokens: {_token('masked', 'masked')} {len(tokens) - learnt}, "
    said += f"{_token('label', 'label')} {learnt}, the only ones in the loss.</p>"
    return _page("evx-tokens", said, f"<div>{''.join(parts)}</div>")


def _token(text: str, kind: str) -> str:
    return f'<span class="{kind}">{escape(text)}</span><wbr>'


def completions(reference: str, rows: pd.DataFrame, chosen: int, weights: RewardWeights) -> HTML:
    """The k completions of one clip with their rewards term by term, and which one is learnt.

    `rows` are one clip's of `raft.score`, `chosen` is the `index` of the one that is learnt.
    """
    said = {"Reference": plain_chips(reference)}
    for row in rows.sort_values("index").to_dict("records"):
        terms = (
            f"{weights.accuracy:g} × {max(0.0, 1.0 - row['wer']):.2f} accuracy",
            f"{weights.tags:g} × {row['tag_f1']:.2f} Tag F1",
            f"{weights.hallucination:g} × {1.0 - row['hallucination']:.2f} no hallucination",
        )
        who = f"No. {row['index'] + 1}{', learnt' if row['index'] == chosen else ''}"
        total = f"<small><b>{row['reward']:.3f}</b> = {' + '.join(terms)}</small>"
        said[who] = marked(reference, row["text"]) + total
    return _page("evx-read", _KEY, _rows(said))


def transcripts(clips: pd.DataFrame) -> HTML:
    """Clips with a player, their references, and each system's transcript with errors marked.

    `clips` has `id`, `reference`, `audio` (a data URI), and a column of tagged text a system.
    """
    page = [_KEY]
    for row in clips.to_dict("records"):
        name, source, reference = (row.pop(key) for key in ("id", "audio", "reference"))
        said = {"Reference": plain_chips(reference)}
        said |= {system: marked(reference, text) for system, text in row.items()}
        page.append(
            f'<div class="clip"><div class="head"><small>{escape(name)}</small><audio controls '
            f'preload="none" src="{escape(source)}" aria-label="{escape(name)}"></audio></div>'
            f"{_rows(said)}</div>"
        )
    return _page("evx-read", *page)


def _rows(said: Mapping[str, str]) -> str:
    """Who said what, as HTML."""
    return "".join(
        f'<div class="row"><div class="who">{escape(who[:1].upper() + who[1:])}</div>'
        f'<div class="said">{text}</div></div>'
        for who, text in said.items()
    )


def marked(reference: str, prediction: str) -> str:
    """A prediction as HTML with its errors marked, and what the strict protocol counts in it.

    >>> marked("[sighs] not again", "[sad] not a gain").partition("<small>")[2][:54]
    'word errors: 2 in 2; tags: 0 right, 1 wrong, 1 missed:'
    """
    wanted, got = tags.parse(reference), tags.parse(prediction)
    keys = [own.plain.split() for own in (wanted, got)]
    shown = [*map(escape, got.words), ""]
    errors = 0
    for operation, i1, i2, j1, j2 in reversed(Levenshtein.opcodes(*keys)):
        if operation != "equal":
            errors += max(i2 - i1, j2 - j1)
            shown[j1:j2] = [f"<ins>{word}</ins>" for word in shown[j1:j2]]
            if i2 > i1:
                shown[j1] = f"<del>{escape(' '.join(wanted.words[i1:i2]))}</del> {shown[j1]}"
    # As `metrics.aligned_matches`: each tag in turn takes the first free one in its reach.
    places, missed, chips = places_in_reference(wanted.words, got.words), list(wanted.tags), []
    for tag in got.tags:
        low, high = places[tag.word_index]
        reach = range(low - TOLERANCE_WORDS, high + TOLERANCE_WORDS + 1)
        hit = next((t for t in missed if t.name == tag.name and t.word_index in reach), None)
        if hit:
            missed.remove(hit)
        chips.append(_chip(f"✓ {tag.name}", "right") if hit else _chip(f"✗ {tag.name}", "wrong"))
    right = len(wanted.tags) - len(missed)
    note = f"word errors: {errors} in {len(wanted.words)}; "
    note += f"tags: {right} right, {len(chips) - right} wrong, {len(missed)} missed"
    if missed:
        note += ": " + " ".join(_chip(tag.name, "missed") for tag in missed)
    text = _woven(got, chips, shown) if got.words or chips else "<small>nothing written</small>"
    return f"{text}<small>{note}</small>"


def plain_chips(text: str) -> str:
    """A tagged text as HTML, its tags in neutral outlines."""
    parsed = tags.parse(text)
    chips = [_chip(tag.name, "neutral") for tag in parsed.tags]
    return _woven(parsed, chips, [*map(escape, parsed.words), ""])


def _woven(parsed: tags.Transcript, chips: Sequence[str], words: Sequence[str]) -> str:
    """Tags at their places among the words; the last item stands behind all of them."""
    parts = [[word] for word in words]
    for tag, chip in zip(parsed.tags, chips, strict=True):
        parts[tag.word_index].insert(-1, chip)
    return " ".join(part for own in parts for part in own if part)


def _chip(text: str, kind: str) -> str:
    return f'<span class="tag {kind}">{escape(text)}</span>'


def listening_page(shown: Sequence[Specimen]) -> HTML:
    """Each tag with players and pictures, in one self-contained fragment."""
    absent = "<p><em>No clip of this source has both a tag and sound.</em></p>"
    sections = [] if shown else [absent]
    for specimen in shown:
        name, about = escape(specimen.tag), f"{tags.group_of(specimen.tag)} · {specimen.voice}"
        players = "".join(
            f"<figure><figcaption>{escape(heard.text)}</figcaption><audio controls "
            f'preload="metadata" src="{_uri("audio/mpeg", to_mp3(heard.audio))}"></audio></figure>'
            for heard in specimen.heard
        )
        image = io.BytesIO()
        _picture(specimen).savefig(image, format="webp", dpi=150)  # a third of the size of a PNG
        sections.append(
            f"<section><h4>[{name}] <small>{escape(about)}</small></h4><div>{players}</div>"
            f'<img alt="waveforms and spectrograms of [{name}]" '
            f'src="{_uri("image/webp", image.getvalue())}"></section>'
        )
    return _page("evx-listen", *sections)


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@style.applied
def _picture(specimen: Specimen) -> Figure:
    """Waveforms and spectrograms beside one another, on one time scale, the tag's place marked."""
    figure = Figure(figsize=(7.6, 2), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(1, 2))
    axes[1, 0].set_ylabel("Hz")
    for ax in axes[:, len(specimen.heard) :].flat:
        ax.set_axis_off()
    kinds = ("with the tag", "without")
    for heard, title, (wave, sound) in zip(specimen.heard, kinds, axes.T, strict=False):
        times = np.arange(len(heard.audio)) / SAMPLE_RATE
        wave.plot(times, heard.audio, color=style.INK, linewidth=0.3)
        wave.set(title=title, yticks=[])
        with np.errstate(divide="ignore"):  # of digital silence
            *_, image = sound.specgram(heard.audio, NFFT=512, noverlap=432, Fs=SAMPLE_RATE)
        image.set(cmap="magma", clim=(image.get_array().max() - 65, None))
        sound.set_xlabel("s")
        for start, stop in heard.marks:
            wave.axvspan(start, stop, alpha=0.3)
    return figure
