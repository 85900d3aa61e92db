"""Clips: recordings with tagged transcripts, synthetic or real, on disk in AudioFolder layout.

`build_corpus` renders the synthetic corpus, `load` reads any dataset of this layout, `validate`
judges one that comes from elsewhere, `ingest` converts it. Needs neither torch nor `datasets`.
"""

from __future__ import annotations

from evoxtral.clips.audio import audio_digest, decode, read_audio
from evoxtral.clips.clip import Clip, TagMark
from evoxtral.clips.containers import BadAudioError
from evoxtral.clips.corpus import Manifest, build_corpus, read_manifest
from evoxtral.clips.ingest import ingest
from evoxtral.clips.loading import Dataset, load
from evoxtral.clips.reading import Reading, pairs
from evoxtral.clips.splits import TEST_SPLITS, CorpusSizes
from evoxtral.clips.summary import length_shares, length_stratum, tag_support
from evoxtral.clips.validate import Finding, Policy, Validation, validate
