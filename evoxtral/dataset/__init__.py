"""Clips: recordings with tagged transcripts, synthetic or real, on disk in AudioFolder layout.

`build_corpus` renders the synthetic corpus, `load` reads any dataset of this layout, `validate`
judges one that comes from elsewhere, `ingest` converts it. Needs neither torch nor `datasets`.
"""

from __future__ import annotations

from evoxtral.dataset.audio import audio_digest, decode, read_audio
from evoxtral.dataset.clip import Clip, TagMark
from evoxtral.dataset.containers import BadAudioError
from evoxtral.dataset.corpus import Manifest, build_corpus, read_manifest
from evoxtral.dataset.ingest import ingest
from evoxtral.dataset.loading import Dataset, load
from evoxtral.dataset.reading import Reading, pairs
from evoxtral.dataset.splits import TEST_SPLITS, CorpusSizes
from evoxtral.dataset.summary import length_shares, length_stratum, tag_support
from evoxtral.dataset.validate import Finding, Policy, Validation, validate

__all__ = [
    "TEST_SPLITS",
    "BadAudioError",
    "Clip",
    "CorpusSizes",
    "Dataset",
    "Finding",
    "Manifest",
    "Policy",
    "Reading",
    "TagMark",
    "Validation",
    "audio_digest",
    "build_corpus",
    "decode",
    "ingest",
    "length_shares",
    "length_stratum",
    "load",
    "pairs",
    "read_audio",
    "read_manifest",
    "tag_support",
    "validate",
]
