"""What the composition of a training set is measured on: one light row per example."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evoxtral import UserError, tags


@dataclass(frozen=True, slots=True)
class Item:
    """One example: a script, or a clip made of it. `None` means not known, never "none".

    Attributes:
        id: unique in its set.
        tagged_text: transcript with `[tags]` and CAPS.
        plain_text: the same without them.
        domain: conversation, podcast, ...
        slice: density slice it was written for; its text decides, not this.
        voice: speaker.
        gender: male, female or neutral.
        seconds: duration of the audio.
        split: train, validation or test.
    """

    id: str
    tagged_text: str
    plain_text: str
    domain: str
    slice: str
    voice: str | None = None
    gender: str | None = None
    seconds: float | None = None
    split: str | None = None

    @classmethod
    def of(cls, row: Any) -> Item:
        """Make an item of a script, a clip, or anything else with attributes of these names."""
        known = ("id", "tagged_text", "plain_text", "domain", "slice")
        open_ = ("voice", "gender", "seconds", "split")
        return cls(*(getattr(row, k) for k in known), *(getattr(row, k, None) for k in open_))


@dataclass(frozen=True)
class Features:
    """What the tables count, one row per item; computed once.

    Attributes:
        items: the n items.
    """

    items: tuple[Item, ...]

    @classmethod
    def of(cls, rows: Iterable[Any]) -> Features:
        """Features of scripts, clips or items.

        Raises:
            UserError: there are none.
        """
        items = tuple(row if isinstance(row, Item) else Item.of(row) for row in rows)
        if not items:
            raise UserError("no examples: a composition needs at least one")
        return cls(items)

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def transcripts(self) -> tuple[tags.Transcript, ...]:
        """The parsed texts."""
        return tuple(tags.parse(item.tagged_text) for item in self.items)

    @cached_property
    def n_tags(self) -> NDArray[np.int64]:
        """(n,) tags per item, those outside the vocabulary included."""
        return np.array([len(t.tags) for t in self.transcripts], dtype=np.int64)

    @cached_property
    def tagged(self) -> NDArray[np.float64]:
        """(n,) 1 where the item has a tag."""
        return (self.n_tags > 0).astype(float)

    @cached_property
    def occurrences(self) -> NDArray[np.float64]:
        """(n, 17) occurrences of each vocabulary tag, columns in the order of `tags.TAGS`."""
        column = {name: k for k, name in enumerate(tags.TAGS)}
        counts = np.zeros((len(self), len(tags.TAGS)))
        for row, transcript in enumerate(self.transcripts):
            for tag in transcript.tags:
                if tag.name in column:
                    counts[row, column[tag.name]] += 1
        return counts

    def has(self, tag: str) -> NDArray[np.float64]:
        """(n,) 1 where the item carries the vocabulary tag."""
        return (self.occurrences[:, tags.TAGS.index(tag)] > 0).astype(float)

    @cached_property
    def caps(self) -> NDArray[np.float64]:
        """(n,) 1 where a word outside the tags is in capitals."""
        plain = (tags.strip_tags(item.tagged_text) for item in self.items)
        return np.array([float(bool(tags.emphasis_words(text))) for text in plain])

    @cached_property
    def valence(self) -> NDArray[np.int64]:
        """(n,) sign of positive minus negative tags (`tags.VALENCE`): -1, 0 or 1; 0 if plain."""
        sign = {"positive": 1, "negative": -1, "neutral": 0}
        values = np.array([sign[tags.VALENCE[name]] for name in tags.TAGS])
        return np.sign(self.occurrences @ values).astype(np.int64)

    @cached_property
    def thirds(self) -> NDArray[np.float64]:
        """(n, 3) tags in the first, middle and last third of the words before and after them."""
        counts = np.zeros((len(self), 3))
        for row, transcript in enumerate(self.transcripts):
            for tag in transcript.tags:
                place = tag.word_index / max(len(transcript.words), 1)
                counts[row, min(int(3 * place), 2)] += 1
        return counts

    @cached_property
    def gaps(self) -> tuple[NDArray[np.int64], ...]:
        """Words between each tag and the next, per item; empty with fewer than two tags."""
        places = (np.array([tag.word_index for tag in t.tags], int) for t in self.transcripts)
        return tuple(np.diff(place) for place in places)

    def known(self, name: str) -> Sequence[Any] | None:
        """Values of an optional field of all items, or `None` if a single one is missing."""
        values = [getattr(item, name) for item in self.items]
        return None if None in values else values
