"""Clips: recordings with tagged transcripts, synthetic or real, on disk in AudioFolder layout.

`clip` is the record and its layout on disk, `corpus` renders the synthetic corpus, `ingest`
judges and converts recordings from elsewhere. Needs neither torch nor `datasets`.
"""

from __future__ import annotations

from evoxtral.clips.clip import Clip, Dataset, load
