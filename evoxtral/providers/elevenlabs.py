"""Speech by ElevenLabs: scripts get voices and a price and, once it is allowed, sound."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from evoxtral import UserError, runs
from evoxtral.clips import Clip, Dataset, clip_of, write_splits
from evoxtral.clips.audio import MIN_SECONDS, SAMPLE_RATE, write_audio
from evoxtral.params import DataMix
from evoxtral.processes import progress
from evoxtral.providers import RETRIES, TIMEOUT, bought, one_line, read_key
from evoxtral.world.scripts import Script

PREMADE = {
    "EXAVITQu4vr4xnSDxMaL": "female",  # Sarah
    "FGY2WhTYpPnrIDTdsKH5": "female",  # Laura
    "Xb7hH8MSUJpSbSDYk0k2": "female",  # Alice
    "XrExE9yKIg1WjnnlVkGX": "female",  # Matilda
    "JBFqnCBsd6RMkjVDRZzb": "male",  # George
    "IKne3meq5aSn9XLyUdCD": "male",  # Charlie
    "nPczCjzI2devNBz1zQrb": "male",  # Brian
    "onwK4e9ZLuTAKqWW03F9": "male",  # Daniel
}
"""Voices that ElevenLabs offers to every account; not tried here, for lack of a key."""

FAILURES = "failures.jsonl"

_KIND = "speech"
_FORMAT = "pcm_16000"  # 16-bit little-endian mono at 16 kHz, as the models hear it
_FASTEST = 6.0  # words a second, about twice a brisk reader
_FAILED_SHARE = 0.05
_NO_SERVICE = (401, 402, 403, 404)  # a wrong key, no credit, no such voice: others fail as well
_BUSY = (408, 409, 429, 500, 502, 503, 504)  # nothing was billed: asked again


def speech(
    cfg: DataMix, texts: Mapping[str, Sequence[Script]], found: str = ""
) -> runs.StageResult:
    """The stage of bought speech, an AudioFolder of texts by split; `failures.jsonl` has the rest.

    A `UserError` if that costs more than is allowed, which tells too what was `found` in the texts,
    is refused, or too many clips failed.
    """
    files = _cast(cfg, texts)

    def make(folder: Path) -> None:
        with runs.exclusive(runs.bought_dir() / _KIND):
            failed = _buy(cfg, files, found)
        rows = [{"id": c.id, "voice": c.voice, "reason": failed[p]}
                for c, p in files.items() if p in failed]  # fmt: skip
        runs.write_jsonl(folder / FAILURES, rows)
        if len(rows) > _FAILED_SHARE * len(files):
            raise UserError(
                f"{len(rows)} of {len(files)} clips failed, more than the allowed "
                f"{_FAILED_SHARE:.0%}, first {rows[0]['id']!r}: {rows[0]['reason']}; all are in "
                f"{folder / FAILURES}; run again to ask for them again"
            )
        sound = Dataset({clip: path for clip, path in files.items() if path not in failed})
        for clip, path in sound.files.items():
            (folder / clip.stored).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / clip.stored)
        write_splits(folder, [clip.measured(sound.audio(clip)) for clip in sound.clips])

    asked = [[path.stem, clip.model_dump(mode="json")] for clip, path in files.items()]
    return runs.stage("speech", cfg.profile, {"clips": runs.digest(asked)}, make)


def _cast(cfg: DataMix, texts: Mapping[str, Sequence[Script]]) -> dict[Clip, Path]:
    """Clips, not yet measured, and where their bought audio lies or will lie.

    A voice, by its place in `voices`, follows from the text alone: whatever else changes, what
    was bought stays in use. A voice that is added takes its share of the texts, which are bought
    anew. A text that comes again has its next voice.
    """
    pairs = (part.strip().partition(":") for part in cfg.voices.split(","))
    genders = {name: gender for name, _, gender in pairs if name}
    genders = PREMADE if cfg.voices == "premade" else genders
    if wrong := set(genders.values()) - {"", "female", "male"}:
        raise UserError(
            f"a gender in voices is {min(wrong)!r}: write female or male, or leave it out"
        )
    if not genders:
        raise UserError(f"voices is {cfg.voices!r} and names none: give premade, or ids of voices")
    names, said, files = list(genders), Counter[str](), {}
    for split, scripts in texts.items():
        for script in scripts:
            text = script.tagged_text
            turns = sorted((runs.digest([text, place]), name) for place, name in enumerate(names))
            _, voice = turns[said[text] % len(turns)]
            said[text] += 1
            request = {"provider": "elevenlabs", "format": _FORMAT, "text": text,
                       "voice": voice, "model": cfg.speech_model, "stability": cfg.stability,
                       "seed": None, "language": None}  # fmt: skip
            clip = clip_of(script, split, voice, genders[voice] or None)
            files[clip] = bought(_KIND, runs.digest(request), ".flac")
    return files


def _buy(cfg: DataMix, files: Mapping[Clip, Path], found: str) -> dict[Path, str]:
    """Ask for all audio that is not there; why it is still missing, by its path."""
    missing = {path: clip for clip, path in files.items() if not path.exists()}
    paid = sum(path not in missing for path in files.values())
    characters = sum(len(clip.tagged_text) for clip in missing.values())
    if characters > cfg.allow_characters:
        price = f", {characters * cfg.speech_price / 1e6:,.2f} in money"
        raise UserError(
            f"{len(files)} clips, {paid} of them paid for already; {len(missing)} requests left "
            f"({characters:,} characters{price if cfg.speech_price else ''}): set "
            f"allow_characters to {characters} to spend them (it is {cfg.allow_characters}; "
            f"nothing was spent){found}"
        )
    if not missing:
        return {}
    key = read_key("ELEVENLABS_API_KEY", cfg.speech_url)
    # A request that broke off or timed out may have been billed: not asked again.
    retry = Retry(RETRIES, read=False, allowed_methods=None, status_forcelist=_BUSY,
                  backoff_factor=1, raise_on_status=False)  # fmt: skip
    with (
        requests.Session() as session,
        ThreadPoolExecutor(cfg.concurrency) as pool,
        progress(len(files), "speech", unit="clip", done=paid) as bar,
    ):
        session.headers["xi-api-key"] = key
        session.mount(cfg.speech_url, HTTPAdapter(pool_maxsize=cfg.concurrency, max_retries=retry))
        faults = {}
        fetched = pool.map(partial(_fetch, cfg, session), missing, missing.values())
        for path, fault in zip(missing, fetched, strict=True):
            bar.update(not fault)
            faults |= {path: fault} if fault else {}
    return faults


def _fetch(cfg: DataMix, session: requests.Session, path: Path, clip: Clip) -> str:
    """Buy the audio of a clip; why it is not there, empty if it is."""
    body = {"text": clip.tagged_text, "model_id": cfg.speech_model,
            "voice_settings": {"stability": cfg.stability}}  # fmt: skip
    try:
        reply = session.post(
            f"{cfg.speech_url}/v1/text-to-speech/{clip.voice}?output_format={_FORMAT}",
            json=body,
            timeout=TIMEOUT,
            allow_redirects=False,  # which would carry the key to another host
        )
    except requests.RequestException as error:
        return one_line(error)
    if reply.status_code != 200:
        reason = one_line(f"HTTP {reply.status_code}: {reply.text or 'no reason given'}")
        if reply.status_code in _NO_SERVICE:
            raise UserError(
                f"ElevenLabs refuses to serve: {reason}; check key, credit, voices and speech_url, "
                "then run again: what was bought is kept"
            )
        return reason
    samples = np.frombuffer(reply.content[: len(reply.content) // 2 * 2], "<i2")
    seconds = len(samples) / SAMPLE_RATE
    least = max(MIN_SECONDS, len(clip.plain_text.split()) / _FASTEST)
    if seconds < least or not samples.any():
        return f"the reply is {seconds:.2f} s long, or silent; its words take {least:.2f} s"
    write_audio(path, samples.astype(np.float32) / 32768)
    return ""
