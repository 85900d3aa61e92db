"""Where tags and emphasis go in a text, and what they do to its punctuation.

An emotion or delivery tag stands before the words it colours, an event or pause where it happens,
a stammer before the word whose onset is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evoxtral.world.scripts.grammar import pick
from evoxtral.world.scripts.lexicon import EMPHASIS_WORDS, LEANING_WORDS

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Iterator


Gap = tuple[int, int]
"""(sentence, words of it before the gap); the end of the script is (last, its length)."""

_DELIVERY = ("whispers", "shouts")
_GAP_WEIGHT = {"edge": 2.0, "boundary": 4.0, "clause": 4.0, "inside": 0.35}
_SHORT_SENTENCE = 4
_CROWDED = 0.1
_AWKWARD = 1e-4
_LATE_STATE_SHARE = 0.2
_CLAUSE_WORDS = frozenset(("and", "but", "because", "when", "who", "or", "then"))
_ENCLITICS = frozenset(("it", "me", "him", "her", "us", "them", "ago"))


def _bare(word: str) -> str:
    return word.rstrip(".,!?").lower()


@dataclass(slots=True)
class Draft:
    """A text under construction: sentences of words, and the tags set into its gaps.

    Attributes:
        sentences: Words with punctuation, at least one word each.
        states: Emotion and delivery tags by the gap they begin at.
        moments: Non-verbal events, pauses and stammers by the gap they happen in.
    """

    sentences: list[list[str]]
    states: dict[Gap, list[str]] = field(default_factory=dict)
    moments: dict[Gap, list[str]] = field(default_factory=dict)

    @property
    def end(self) -> Gap:
        """The gap after the last word."""
        return len(self.sentences) - 1, len(self.sentences[-1])

    def gaps(self) -> list[Gap]:
        """All gaps in reading order, that at the end included."""
        inner = [(s, w) for s, words in enumerate(self.sentences) for w in range(len(words))]
        return [*inner, self.end]

    def load(self, gap: Gap) -> int:
        """Number of tags in a gap."""
        return len(self.moments.get(gap, ())) + len(self.states.get(gap, ()))

    def render(self) -> str:
        """Write the draft as tagged text."""
        pieces: list[str] = []
        for s, words in enumerate(self.sentences):
            for w, word in enumerate(words):
                pieces += (*self._tags_at((s, w)), word)
        return " ".join((*pieces, *self._tags_at(self.end)))

    def _tags_at(self, gap: Gap) -> Iterator[str]:
        """In one gap events come first, then emotion, delivery, and the stammer at the word."""
        moments = sorted(self.moments.get(gap, ()), key=lambda tag: tag == "stammers")
        split = len(moments) - moments.count("stammers")
        states = sorted(self.states.get(gap, ()), key=lambda tag: tag in _DELIVERY)
        return (f"[{tag}]" for tag in (*moments[:split], *states, *moments[split:]))

    def add_state(self, rng: random.Random, tag: str, sentence: int) -> bool:
        """Let an emotion or delivery begin with a sentence, or now and then with a later clause.

        A gap holds one emotion and one way of speaking at most, so a second one goes on. Half of
        the shouted sentences get an exclamation mark: always would give the shout away in print.

        Returns:
            False where every gap is taken.
        """
        options = self._state_gaps(rng, tag, sentence)
        if not options:
            return False
        gap = pick(rng, options)
        self.states.setdefault(gap, []).append(tag)
        last = self.sentences[gap[0]][-1]
        if tag == "shouts" and last.endswith(".") and rng.random() < 0.5:
            self.sentences[gap[0]][-1] = last.rstrip(".") + "!"
        return True

    def _state_gaps(self, rng: random.Random, tag: str, sentence: int) -> list[Gap]:
        """The gaps a state may begin at: the best kind of place that is left."""
        free = [gap for gap in self.gaps()[:-1] if self._takes(gap, tag)]
        start = [gap for gap in free if gap == (sentence, 0)]
        clauses = [
            gap
            for gap in free
            if gap[0] == sentence and gap[1] and self._begins_clause(gap) and self._after(gap) > 1
        ]
        first, second = (clauses, start) if rng.random() < _LATE_STATE_SHARE else (start, clauses)
        return first or second or [gap for gap in free if not self._awkward(gap)] or free

    def _takes(self, gap: Gap, tag: str) -> bool:
        delivery = tag in _DELIVERY
        return all((other in _DELIVERY) != delivery for other in self.states.get(gap, ()))

    def _after(self, gap: Gap) -> int:
        """Number of words of the sentence after a gap."""
        return len(self.sentences[gap[0]]) - gap[1]

    def _begins_clause(self, gap: Gap) -> bool:
        s, w = gap
        return self.sentences[s][w - 1][-1] in ",." or self.sentences[s][w] in _CLAUSE_WORDS

    def add_moment(self, rng: random.Random, tag: str, before: int | None = None) -> bool:
        """Set an event or a pause into a gap; with `before`, preferably before that sentence.

        Returns:
            False where no gap is left for it (a pause needs words on both sides).
        """
        if before is not None and not self.load((before, 0)) and rng.random() < 0.6:
            self.set_moment((before, 0), tag)
            return True
        gaps = self.gaps()
        weights = [self._moment_weight(gap, tag) for gap in gaps]
        if not any(weights):
            return False
        self.set_moment(rng.choices(gaps, weights)[0], tag)
        return True

    def _moment_weight(self, gap: Gap, tag: str) -> float:
        s, w = gap
        if tag in self.moments.get(gap, ()) or self.load(gap) >= 3:
            return 0.0
        crowding = _CROWDED ** self.load(gap)
        if gap in ((0, 0), self.end):
            return 0.0 if tag == "pause" else _GAP_WEIGHT["edge"] * crowding
        if w == 0:
            return _GAP_WEIGHT["boundary"] * crowding
        if self._begins_clause(gap):
            return _GAP_WEIGHT["clause" if self._after(gap) > 1 else "inside"] * crowding
        if self._awkward(gap):
            return _AWKWARD
        brief = len(self.sentences[s]) <= _SHORT_SENTENCE
        return _GAP_WEIGHT["inside"] * crowding * (0.2 if brief else 1.0)

    def _awkward(self, gap: Gap) -> bool:
        """Whether nobody would break off here."""
        s, w = gap
        words = self.sentences[s]
        return w > 0 and (_bare(words[w - 1]) in LEANING_WORDS or _bare(words[w]) in _ENCLITICS)

    def set_moment(self, gap: Gap, tag: str) -> None:
        """Set an event, a pause or a stammer into a gap; inside a clause, "..." marks the break."""
        self.moments.setdefault(gap, []).append(tag)
        s, w = gap
        if tag != "stammers" and 0 < w < len(self.sentences[s]):
            previous = self.sentences[s][w - 1]
            if previous[-1] not in ".,!?":
                self.sentences[s][w - 1] = previous + "..."

    def add_stammer(self, rng: random.Random, sentences: Collection[int]) -> None:
        """Let the voice stumble at a word of one of the sentences, seldom at their last word."""
        gaps = [gap for gap in self.gaps()[:-1] if gap[0] in sentences]
        early = [gap for gap in gaps if gap[1] < len(self.sentences[gap[0]]) - 1]
        free = [gap for gap in early or gaps if "stammers" not in self.moments.get(gap, ())]
        self.set_moment(pick(rng, free or gaps), "stammers")

    def emphasise(self, rng: random.Random, count: int) -> None:
        """Put up to `count` words that can bear stress, no two neighbours, in capitals."""
        spots = [
            (s, w)
            for s, words in enumerate(self.sentences)
            for w, word in enumerate(words)
            if _bare(word) in EMPHASIS_WORDS
        ]
        rng.shuffle(spots)
        for s, w in spots[:count]:
            around = self.sentences[s][max(w - 1, 0) : w + 2]
            if not any(word.isupper() and len(word) > 1 for word in around):
                self.sentences[s][w] = self.sentences[s][w].upper()
