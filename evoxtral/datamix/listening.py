"""The listening page: a clip per tag beside the same words without it, to hear and to see."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile
from IPython.display import HTML
from PIL import Image

from evoxtral import figures, runs, tags
from evoxtral.clips import Clip
from evoxtral.datamix.source import GENERATED, REAL, Source
from evoxtral.params import DataMix
from evoxtral.world import speech

SECONDS = 3.0
"""Clips about this long are chosen."""

LONGEST = 12.0
"""Longer ones are not shown."""

DPI = 150
QUALITY = 75
Audio = npt.NDArray[np.float32]

_STYLE = """<style>
.evx-listen{max-width:1000px}
.evx-listen section{border-top:1px solid rgba(128,128,128,.35);padding:.6em 0 .3em}
.evx-listen h4{margin:0 0 .3em;font-size:1em}
.evx-listen small{font-weight:400;opacity:.75}
.evx-listen div{display:flex;flex-wrap:wrap;gap:.3em 2em}
.evx-listen figure{margin:0;flex:1 1 300px;min-width:0}
.evx-listen figcaption{font-size:.9em;margin-bottom:.2em}
.evx-listen audio{width:100%;max-width:420px;height:34px}
.evx-listen img{width:100%;height:auto;margin-top:.3em;background:#fff}
</style>"""


@dataclass(frozen=True, eq=False)
class Heard:
    """A recording of a text.

    Attributes:
        text: as spoken.
        audio: shape (n,), 16 kHz.
        marks: where the tag is heard, (start, end) in seconds; empty where nobody knows.
    """

    text: str
    audio: Audio
    marks: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Specimen:
    """A tag, heard: first with it, then, where it could be made, the same words without."""

    tag: str
    voice: str
    heard: tuple[Heard, ...]


def specimens(cfg: DataMix, source: Source) -> list[Specimen]:
    """One clip per tag, in the report's order; none for a source without sound.

    Chosen is a clip with no other tag and no capitals if there is one. A generated text is
    performed anew, with and without its tag in the same voice from the same seed, since only the
    performance knows where the tag is heard; from one's own recordings the clip itself is taken.
    """
    if source.clips is None:
        return []
    chosen = ((tag, _choose(tag, source.clips.clips)) for tag in tags.TAGS)
    return [_specimen(cfg, source, tag, clip) for tag, clip in chosen if clip is not None]


def _choose(tag: str, clips: Iterable[Clip]) -> Clip | None:
    fitting = [
        clip
        for clip in clips
        if tag in tags.find_tags(clip.tagged_text) and (clip.seconds or 0) <= LONGEST
    ]
    return min(fitting, key=_distraction, default=None)


def _distraction(clip: Clip) -> tuple[int, float, str]:
    """How much else than one tag is to be heard, then how far from the length wanted."""
    plain = tags.strip_tags(clip.tagged_text)
    others = len(clip.tags) + len(tags.emphasis_words(plain))
    return others, abs((clip.seconds or 0) - SECONDS), clip.id


def _specimen(cfg: DataMix, source: Source, tag: str, clip: Clip) -> Specimen:
    if source.name != GENERATED or clip.split == REAL:
        heard = (Heard(clip.tagged_text, source.clips.audio(clip)),)
        return Specimen(tag, clip.voice or "unknown voice", heard)
    voice = speech.find_voice(clip.voice)
    seed = int(runs.digest([cfg.seed, "listening", clip.id])[:7], 16)
    with_tag = speech.render(clip.tagged_text, voice, seed)
    spans = (*with_tag.events, *with_tag.styles)
    marks = tuple((start, end) for start, end, label in spans if label == tag)
    without = speech.render(clip.plain_text, voice, seed)
    heard = (
        Heard(clip.tagged_text, with_tag.audio, marks),
        Heard(clip.plain_text, without.audio),
    )
    return Specimen(tag, f"{voice.id}, {voice.gender}", heard)


def to_mp3(audio: Audio) -> bytes:
    """Samples as MP3, which every browser plays; same samples and library, same bytes."""
    buffer = io.BytesIO()
    soundfile.write(
        buffer,
        audio,
        speech.SAMPLE_RATE,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="VARIABLE",
        compression_level=0.7,
    )
    return buffer.getvalue()


def picture(specimen: Specimen) -> bytes:
    """Waveforms and spectrograms of a specimen as WebP, a third of the size of a PNG."""
    shown = [
        figures.Shown("with the tag" if not k else "without", heard.audio, heard.marks)
        for k, heard in enumerate(specimen.heard)
    ]
    drawn = io.BytesIO()
    figure = figures.clips(shown, tags.group_of(specimen.tag))
    figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
    small = io.BytesIO()
    with Image.open(drawn) as image:
        image.convert("RGB").save(small, format="WEBP", quality=QUALITY, method=6)
    return small.getvalue()


def page(shown: Sequence[Specimen]) -> HTML:
    """All specimens with players and pictures, in one self-contained fragment."""
    if not shown:
        return HTML("<p><em>This source has no sound to listen to.</em></p>")
    return HTML(f'{_STYLE}<div class="evx-listen">{"".join(map(_section, shown))}</div>')


def _section(specimen: Specimen) -> str:
    players = "".join(map(_player, specimen.heard))
    image = base64.b64encode(picture(specimen)).decode()
    about = f"{tags.group_of(specimen.tag)} · {specimen.voice}"
    return (
        f"<section><h4>[{html.escape(specimen.tag)}] <small>{html.escape(about)}</small></h4>"
        f"<div>{players}</div>"
        f'<img alt="waveforms and spectrograms of [{html.escape(specimen.tag)}]" '
        f'src="data:image/webp;base64,{image}"></section>'
    )


def _player(heard: Heard) -> str:
    sound = base64.b64encode(to_mp3(heard.audio)).decode()
    return (
        f"<figure><figcaption>{html.escape(heard.text)}</figcaption>"
        f'<audio controls preload="metadata" src="data:audio/mpeg;base64,{sound}"></audio></figure>'
    )
