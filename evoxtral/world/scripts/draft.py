"""One script: which tags it gets, the words it is made of, and where the tags go in them.

An emotion or delivery tag stands before the words it colours, an event or pause where it happens,
a stammer before the word whose onset is repeated.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from evoxtral.tags import GROUPS, TAGS, find_tags, group_of, strip_tags
from evoxtral.world.scripts.grammar import (
    EMPHASIS_WORDS,
    GRAMMAR,
    LEANING_WORDS,
    MOODS,
    Family,
    Lines,
    any_mood,
    bare,
    compose,
    pick,
    sentence,
    table,
)

Gap = tuple[int, int]
"""(sentence, words of it before the gap); the end of the script is (last, its length)."""

MAX_SECONDS = 7.0
"""No generated script is longer, by `estimated_seconds`: the audio window is 8 s."""

MAX_WORDS = 16
"""No generated script has more words."""

STATES: Lines = (*GROUPS["emotion"], "whispers", "shouts")
"""Tags that colour the words after them; all others are moments between words."""

EVENTS: Lines = GROUPS["nonverbal"]

CUE_SHARE = 0.5
"""Share of coloured sentences whose words suit the colour; the others are lexically neutral."""

_WORDS_PER_SECOND = 3.2  # espeak at 190 words a minute
_TAG_SECONDS = {"stammers": 0.3, **dict.fromkeys(("pause", *EVENTS), 0.7)}
_TAG_COUNTS = {"plain": (0,), "light": (1, 2), "moderate": (3, 4), "dense": (5, 5, 5, 6, 6, 7)}
_GROUP = {tag: group_of(tag) for tag in TAGS}
_TOGETHER = {frozenset(pair): factor for *pair, factor in GRAMMAR["together"]}
_DELIVERY = ("whispers", "shouts")
_CLAUSE_WORDS = {"and", "but", "because", "when", "who", "or", "then"}
_ENCLITICS = {"it", "me", "him", "her", "us", "them", "ago"}
_EDGE_CASES = (
    "event last",
    "event first",
    "one word",
    "event twice",
    "event and states",
    *("spoken tag words",) * 2,
    "capitals only",
    "pauses",
    "change of voice",
    "stammers twice",
)


def estimated_seconds(tagged_text: str) -> float:
    """Estimate how long a script takes to speak: its words, events, pauses and stammers.

    >>> round(estimated_seconds("[sad] It's gone. [pause] All of it."), 2)
    2.26
    """
    words = len(strip_tags(tagged_text).split())
    return words / _WORDS_PER_SECOND + _seconds(find_tags(tagged_text))


def fits(tagged_text: str) -> bool:
    """Whether a script keeps to `MAX_SECONDS` and `MAX_WORDS`."""
    words = len(strip_tags(tagged_text).split())
    return words <= MAX_WORDS and estimated_seconds(tagged_text) <= MAX_SECONDS


def _seconds(tags: Collection[str]) -> float:
    return sum(_TAG_SECONDS.get(tag, 0.0) for tag in tags)


def _word_limit(tags: Lines) -> int:
    """How many words still fit the time limit beside these tags."""
    return min(MAX_WORDS, int((MAX_SECONDS - _seconds(tags)) * _WORDS_PER_SECOND))


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

    def render(self) -> str:
        """Write the tagged text: in a gap events, then emotion, delivery, the stammer last."""
        pieces: list[str] = []
        for s, w in self.gaps():
            moments = self.moments.get((s, w), [])
            states = sorted(self.states.get((s, w), ()), key=_DELIVERY.__contains__)
            events = [tag for tag in moments if tag != "stammers"]
            stammers = [tag for tag in moments if tag == "stammers"]
            pieces += (f"[{tag}]" for tag in (*events, *states, *stammers))
            pieces += self.sentences[s][w : w + 1]
        return " ".join(pieces)

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
        words = self.sentences[gap[0]]
        if tag == "shouts" and words[-1].endswith(".") and rng.random() < 0.5:
            words[-1] = words[-1].rstrip(".") + "!"
        return True

    def _state_gaps(self, rng: random.Random, tag: str, sentence: int) -> list[Gap]:
        """The gaps a state may begin at: the best kind of place that is left."""
        delivery = tag in _DELIVERY
        free = [
            gap
            for gap in self.gaps()[:-1]
            if all((other in _DELIVERY) != delivery for other in self.states.get(gap, ()))
        ]
        start = [gap for gap in free if gap == (sentence, 0)]
        within = [gap for gap in free if gap[0] == sentence and gap[1]]
        clauses = [gap for gap in within if self._begins_clause(gap) and self._after(gap) > 1]
        first, second = (clauses, start) if rng.random() < 0.2 else (start, clauses)
        return first or second or [gap for gap in free if not self._awkward(gap)] or free

    def _after(self, gap: Gap) -> int:
        """Number of words of the sentence after a gap."""
        return len(self.sentences[gap[0]]) - gap[1]

    def _begins_clause(self, gap: Gap) -> bool:
        s, w = gap
        return self.sentences[s][w - 1][-1] in ",." or self.sentences[s][w] in _CLAUSE_WORDS

    def _awkward(self, gap: Gap) -> bool:
        """Whether nobody would break off here."""
        s, w = gap
        words = self.sentences[s]
        return w > 0 and (bare(words[w - 1]) in LEANING_WORDS or bare(words[w]) in _ENCLITICS)

    def add_moment(self, rng: random.Random, tag: str, before: int | None = None) -> bool:
        """Set an event or a pause into a gap; with `before`, preferably before that sentence.

        Returns:
            False where no gap is left for it (a pause needs words on both sides).
        """
        if before is not None and not self._load((before, 0)) and rng.random() < 0.6:
            self.set_moment((before, 0), tag)
            return True
        gaps = self.gaps()
        weights = [self._moment_weight(gap, tag) for gap in gaps]
        if not any(weights):
            return False
        self.set_moment(rng.choices(gaps, weights)[0], tag)
        return True

    def _load(self, gap: Gap) -> int:
        """Number of tags in a gap."""
        return len(self.moments.get(gap, ())) + len(self.states.get(gap, ()))

    def _moment_weight(self, gap: Gap, tag: str) -> float:
        s, w = gap
        if tag in self.moments.get(gap, ()) or self._load(gap) >= 3:
            return 0.0
        crowding = 0.1 ** self._load(gap)
        if gap in ((0, 0), self.end):
            return 0.0 if tag == "pause" else 2.0 * crowding
        if w == 0:
            return 4.0 * crowding
        if self._begins_clause(gap):
            return (4.0 if self._after(gap) > 1 else 0.35) * crowding
        if self._awkward(gap):
            return 1e-4
        return 0.35 * crowding * (0.2 if len(self.sentences[s]) <= 4 else 1.0)

    def set_moment(self, gap: Gap, tag: str) -> None:
        """Set an event, a pause or a stammer into a gap; inside a clause, "..." marks the break."""
        self.moments.setdefault(gap, []).append(tag)
        s, w = gap
        words = self.sentences[s]
        if tag != "stammers" and 0 < w < len(words) and words[w - 1][-1] not in ".,!?":
            words[w - 1] += "..."

    def add_stammer(self, rng: random.Random, sentences: Collection[int]) -> None:
        """Let the voice stumble at a word of one of the sentences, seldom at their last word."""
        gaps = [gap for gap in self.gaps()[:-1] if gap[0] in sentences]
        early = [gap for gap in gaps if self._after(gap) > 1]
        free = [gap for gap in early or gaps if "stammers" not in self.moments.get(gap, ())]
        self.set_moment(pick(rng, free or gaps), "stammers")

    def emphasise(self, rng: random.Random, count: int) -> None:
        """Put up to `count` words that can bear stress, no two neighbours, in capitals."""
        spots = [
            (s, w) for s, w in self.gaps()[:-1] if bare(self.sentences[s][w]) in EMPHASIS_WORDS
        ]
        rng.shuffle(spots)
        for s, w in spots[:count]:
            around = self.sentences[s][max(w - 1, 0) : w + 2]
            if not any(word.isupper() and len(word) > 1 for word in around):
                self.sentences[s][w] = self.sentences[s][w].upper()


@dataclass(frozen=True)
class Brief:
    """What a script is made of, and from which random stream.

    Attributes:
        rng: Source of all randomness.
        family: Supplies the sentence frames.
        domain: One of `DOMAINS`.
        used: How often each tag has been used so far: what is behind is preferred, so that all
            17 come about equally often. None for the tags' own frequencies.
    """

    rng: random.Random
    family: Family
    domain: str
    used: Counter[str] | None

    def write(self, slice_name: str) -> Draft | None:
        """Write a script of a slice, or None where no frame fitted (draw again)."""
        if slice_name == "edge":
            case = pick(self.rng, _EDGE_CASES)
            return self._event(case) if case.startswith("event") else self._edge(case)
        return self.draft(self.draw(pick(self.rng, _TAG_COUNTS[slice_name])))

    def draw(self, n: int, among: Collection[str] = TAGS) -> Lines:
        """Draw `n` tags (0–7) that go together, in drawing order; only a pause may repeat."""
        chosen: list[str] = []
        options = [tag for tag in TAGS if tag in among]
        while len(chosen) < n:
            chosen += self.rng.choices(options, [self._weight(tag, chosen) for tag in options])
        return tuple(chosen)

    def _weight(self, tag: str, chosen: list[str]) -> float:
        repeats = chosen.count(tag)
        relatives = sum(_GROUP[other] == _GROUP[tag] for other in chosen)
        if relatives >= 3 or (repeats and tag != "pause"):
            return 0.0
        if self.used is None:
            at_home = tag in GRAMMAR["domains"][self.domain]["tags"]
            weight = GRAMMAR["tags"][tag]["weight"] * (1.6 if at_home else 1.0)
        else:
            behind = self.used[tag] - min(self.used[other] for other in TAGS)
            weight = 0.5 ** min(behind, 20)
        for other in chosen:
            weight *= _TOGETHER.get(frozenset((tag, other)), 1.0)
        return weight / (1 + 2 * repeats)

    def draft(self, tags: Lines, n_words: int | None = None) -> Draft | None:
        """Write a text for these tags, in any order, and set them into it.

        Args:
            tags: The tags to set.
            n_words: Most words; drawn from the length strata if not given.

        Returns:
            The draft, or None where no frame fitted.
        """
        rng = self.rng
        limit = _word_limit(tags)
        room = min(n_words, limit) if n_words else _draw_length(rng, len(tags), limit)
        states = [tag for tag in tags if tag in STATES]
        count = _sentence_count(rng, room, len(states))
        turns = sorted(range(count), key=lambda _: rng.random())
        owners = [turns[i % count] for i in range(len(states))]
        near, moods = _moods(rng, tags, dict(zip(owners[::-1], states[::-1], strict=True)), count)
        sentences = compose(rng, self.family, self.domain, moods, room)
        if len(sentences) < count:
            return None
        draft = Draft(sentences)
        if not all(draft.add_state(rng, *pair) for pair in zip(states, owners, strict=True)):
            return None
        unsure = ("nervous", "scared", "confused")
        shaky = {s for tag, s in zip(states, owners, strict=True) if tag in unsure}
        for tag in tags:
            if tag == "stammers":
                draft.add_stammer(rng, shaky or range(count))
            elif tag not in STATES and not draft.add_moment(rng, tag, near.get(tag)):
                return None
        if rng.random() < (0.66 if tags else 0.08):
            draft.emphasise(rng, 1 if rng.random() < 0.7 else 2)
        return draft

    def _edge(self, case: str) -> Draft | None:
        """Write a corner case that needs no event."""
        rng = self.rng
        if case == "capitals only":
            draft = self.draft(())
            if draft:
                draft.emphasise(rng, 3)
            return draft
        if case == "pauses":
            count = rng.randint(3, 4)
            draft = self.draft((), _word_limit(("pause",) * count))
            done = draft and all(draft.add_moment(rng, "pause") for _ in range(count))
            return draft if done else None
        if case == "change of voice":
            return self.draft(self.draw(2, _DELIVERY if rng.random() < 0.5 else GROUPS["emotion"]))
        if case == "stammers twice":
            return self.draft(("stammers", "stammers"))
        if case == "spoken tag words":
            spoken = self._say("tag_words_spoken")
            rest = self.draft((), max(_word_limit(()) - len(spoken) - 3, 1))
            draft = Draft([spoken, *(rest.sentences if rest and rng.random() < 0.6 else ())])
            if rng.random() < 0.4:
                draft.add_state(rng, *self.draw(1, STATES), 0)
            return draft
        (tag,) = self.draw(1, set(TAGS) - {"pause"})
        draft = Draft([self._say("words_alone")])
        if tag in STATES:
            draft.add_state(rng, tag, 0)
        else:
            draft.set_moment((0, 0) if tag == "stammers" else pick(rng, draft.gaps()), tag)
        return draft

    def _event(self, case: str) -> Draft | None:
        """Write a corner case of a sound: first, last, twice, or with states in one place."""
        rng = self.rng
        (event,) = self.draw(1, EVENTS)
        beside: Lines = (event,) if case == "event twice" else ()
        states: Lines = ()
        if case == "event last":
            beside = self.draw(rng.randint(0, 2), STATES)
        if case == "event and states":
            states = self.draw(1, GROUPS["emotion"])
            states += self.draw(rng.randint(0, 1), ("whispers",))
        draft = self.draft(beside, _word_limit((*beside, event)))
        if draft is None or case == "event twice":
            return draft if draft and draft.add_moment(rng, event) else None
        place = draft.end if case == "event last" else (0, 0)
        if states:
            place = (int(rng.random() * len(draft.sentences)), 0)
            draft.states[place] = list(states)
        draft.set_moment(place, event)
        return draft

    def _say(self, what: str) -> list[str]:
        """Draw a mood and say something in it, as a sentence."""
        mood = pick(self.rng, MOODS)
        return sentence(pick(self.rng, GRAMMAR[what]), table(self.domain, mood), self.rng)


def _draw_length(rng: random.Random, n_tags: int, limit: int) -> int:
    """Draw a length stratum: a few words, half a window, or as much as fits."""
    draw = rng.random()
    if n_tags <= 2 and draw < 0.12:
        return rng.randint(2, 4)
    if n_tags <= 4 and draw < 0.40:
        return rng.randint(5, 8)
    return rng.randint(min(9, limit), limit)


def _sentence_count(rng: random.Random, room: int, n_states: int) -> int:
    if room <= 4:
        return 1
    natural = rng.randint(1, 2) if room <= 8 else pick(rng, (1, 2, 2, 3))
    return max(natural, min(n_states, room // 3, 3))


def _moods(
    rng: random.Random, tags: Lines, colours: Mapping[int, str], count: int
) -> tuple[dict[str, int], list[str]]:
    """Tie some events to a sentence (by event) and choose the mood of every sentence."""
    events = [tag for tag in tags if tag in EVENTS]
    near: dict[str, int] = {}
    moods = []
    for s in range(count):
        colour = colours.get(s)
        if colour is None and len(near) < len(events) and rng.random() < 0.6:
            colour = events[len(near)]
            near[colour] = s
        cues = GRAMMAR["tags"].get(colour, {}).get("moods")
        if cues:
            moods.append(pick(rng, cues) if rng.random() < CUE_SHARE else "neutral")
        else:
            moods.append(any_mood(rng))
    return near, moods
