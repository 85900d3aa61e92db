"""One script: which tags it gets, the words it is made of, and where the tags go in them.

An emotion or delivery tag stands before the words it colours, an event or pause where it happens,
a stammer before the word whose onset is repeated.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise

from evoxtral.tags import GROUPS, TAGS, find_tags, group_of, strip_tags
from evoxtral.world.scripts import grammar
from evoxtral.world.scripts.grammar import DOMAINS, GRAMMAR, Lines, bare, pick

MAX_SECONDS, MAX_WORDS = 7.0, 16  # the audio window is 8 s
# Tags that colour the words after them; all others are moments between words.
STATES: Lines = (*GROUPS["emotion"], "whispers", "shouts")
_EVENTS = GROUPS["nonverbal"]
_WORDS_PER_SECOND = 3.2  # espeak at 190 words a minute
_FACTS = GRAMMAR["tags"]
_TOGETHER = {frozenset(pair): factor for *pair, factor in GRAMMAR["together"]}


def _seconds(tags: Collection[str]) -> float:
    return sum(_FACTS[tag].get("seconds", 0.0) for tag in tags)


def _order(tag: str) -> int:
    """Place in a gap: events, then emotion, delivery, the stammer last."""
    return _FACTS[tag].get("order", 0)


def _word_limit(*tags: str) -> int:
    """How many words still fit the time limit beside these tags."""
    return min(MAX_WORDS, int((MAX_SECONDS - _seconds(tags)) * _WORDS_PER_SECOND))


@dataclass(slots=True)
class Draft:
    """The script under construction; the gap before a word has the word's index.

    `used` counts the tags of earlier scripts, the rarest preferred; None for a long tail.
    """

    rng: random.Random
    families: Sequence[str]  # to choose from
    used: Counter[str] | None
    family: str = field(init=False)
    domain: str = field(init=False)
    words: list[str] = field(init=False)  # with punctuation
    starts: list[int] = field(init=False)  # gap before each sentence, and that at the end
    tags: list[list[str]] = field(init=False)  # in each gap

    def write(self, slice_name: str) -> str | None:
        """The tagged text of a new script of a slice, None if no frame fitted or it is too long."""
        self.family, self.domain = pick(self.rng, self.families), pick(self.rng, DOMAINS)
        if slice_name == "edge":
            done = self._edge(pick(self.rng, GRAMMAR["edge_cases"]))
        else:
            done = self._compose(self._draw(pick(self.rng, GRAMMAR["slices"][slice_name]["tags"])))
        if not done:
            return None
        pieces = []
        for word, here in zip((*self.words, ""), self.tags, strict=True):
            pieces += [*(f"[{tag}]" for tag in sorted(here, key=_order)), word]
        text = " ".join(pieces).rstrip()
        words = len(strip_tags(text).split())
        seconds = words / _WORDS_PER_SECOND + _seconds(find_tags(text))
        return text if words <= MAX_WORDS and seconds <= MAX_SECONDS else None

    def _lay(self, sentences: Sequence[Sequence[str]]) -> None:
        """Begin with these sentences, without tags."""
        self.words = list(chain(*sentences))
        self.starts = list(accumulate(map(len, sentences), initial=0))
        self.tags = [[] for _ in range(len(self.words) + 1)]

    def _draw(self, n: int, among: Collection[str] = TAGS) -> list[str]:
        """Draw `n` tags (0–7) that go together, in drawing order; only a pause may repeat."""
        chosen = []
        options = [tag for tag in TAGS if tag in among]
        while len(chosen) < n:
            chosen += self.rng.choices(options, [self._weight(tag, chosen) for tag in options])
        return chosen

    def _weight(self, tag: str, chosen: list[str]) -> float:
        repeats = chosen.count(tag)
        relatives = sum(group_of(other) == group_of(tag) for other in chosen)
        if relatives >= 3 or (repeats and tag != "pause"):
            return 0.0
        if self.used is None:
            at_home = tag in GRAMMAR["domains"][self.domain]["tags"]
            weight = _FACTS[tag]["weight"] * (1.6 if at_home else 1.0)
        else:
            weight = 0.5 ** min(self.used[tag] - min(self.used[t] for t in TAGS), 20)
        for other in chosen:
            weight *= _TOGETHER.get(frozenset((tag, other)), 1.0)
        return weight / (1 + 2 * repeats)

    def _compose(self, tags: Sequence[str], n_words: int | None = None) -> bool:
        """Write a text for these tags, and set them in; False where no frame fitted."""
        rng, limit = self.rng, _word_limit(*tags)
        if n_words:
            room = min(n_words, limit)
        elif (draw := rng.random()) < 0.12 and len(tags) <= 2:
            room = rng.randint(2, 4)
        elif draw < 0.4 and len(tags) <= 4:
            room = rng.randint(5, 8)
        else:
            room = rng.randint(min(9, limit), limit)
        states = [tag for tag in tags if tag in STATES]
        count = 1
        if room > 4:
            count = rng.randint(1, 2) if room <= 8 else pick(rng, (1, 2, 2, 3))
            count = max(count, min(len(states), room // 3, 3))
        turns = sorted(range(count), key=lambda _: rng.random())
        owners = [(tag, turns[i % count]) for i, tag in enumerate(states)]
        # A sentence without a state may be that of an event; half of the coloured sentences have
        # words that suit the colour, the others neutral ones.
        colours = {s: tag for tag, s in reversed(owners)}
        events = [tag for tag in tags if tag in _EVENTS]
        near = {}
        moods = []
        for s in range(count):
            if s not in colours and len(near) < len(events) and rng.random() < 0.6:
                colours[s] = events[len(near)]
                near[colours[s]] = s
            cues = _FACTS.get(colours.get(s), {}).get("moods")
            if not cues:
                moods.append(grammar.any_mood(rng))
            else:
                moods.append(pick(rng, cues) if rng.random() < 0.5 else "neutral")
        sentences = grammar.compose(rng, self.family, self.domain, moods, room)
        self._lay(sentences)
        if len(sentences) < count or not all(self._add_state(*owner) for owner in owners):
            return False
        shaky = {s for tag, s in owners if tag in ("nervous", "scared", "confused")}
        for tag in tags:
            if tag == "stammers":
                self._add_stammer(shaky or range(count))
            elif tag not in STATES and not self._add_moment(tag, near.get(tag)):
                return False
        if rng.random() < (0.66 if tags else 0.08):
            self._emphasise(1 if rng.random() < 0.7 else 2)
        return True

    def _edge(self, case: str) -> bool:
        """Write a deliberate corner case; False where no frame fitted."""
        rng = self.rng
        match case:
            case "one_word":
                (tag,) = self._draw(1, set(TAGS) - {"pause"})
                self._lay([grammar.say(rng, "words_alone", self.domain)])
                if tag in STATES:
                    return self._add_state(tag, 0)
                return self._set(0 if tag == "stammers" else pick(rng, range(len(self.tags))), tag)
            case "spoken_tag_words":
                spoken = grammar.say(rng, "tag_words_spoken", self.domain)
                done = self._compose((), max(_word_limit() - len(spoken) - 3, 1))
                self._lay([spoken, self.words if done and rng.random() < 0.6 else []])
                return rng.random() >= 0.4 or self._add_state(*self._draw(1, STATES), 0)
            case "capitals_only":
                if done := self._compose(()):
                    self._emphasise(3)
                return done
            case "pauses":
                count = rng.randint(3, 4)
                done = self._compose((), _word_limit(*["pause"] * count))
                return done and all(self._add_moment("pause") for _ in range(count))
            case "change_of_voice":
                among = ("whispers", "shouts") if rng.random() < 0.5 else GROUPS["emotion"]
                return self._compose(self._draw(2, among))
            case "stammers_twice":
                return self._compose(("stammers", "stammers"))
        # A sound first, last, twice, or with states in one place.
        (event,) = self._draw(1, _EVENTS)
        beside = [event] if case == "event_twice" else []
        states = []
        if case == "event_last":
            beside = self._draw(rng.randint(0, 2), STATES)
        elif case == "event_with_states":
            states = self._draw(1, GROUPS["emotion"])
            states += self._draw(rng.randint(0, 1), ("whispers",))
        done = self._compose(beside, _word_limit(*beside, event))
        if not done or case == "event_twice":
            return done and self._add_moment(event)
        gap = len(self.words) if case == "event_last" else 0
        if states:
            gap = pick(rng, self.starts[:-1])
            self.tags[gap] += states
        return self._set(gap, event)

    def _add_state(self, tag: str, sentence: int) -> bool:
        """Let an emotion or delivery begin with a sentence, or now and then with a later clause.

        A gap holds one of a kind; False if all are taken. Half of the shouted sentences get an
        exclamation mark: always would give the shout away in print.
        """
        first, end = self.starts[sentence : sentence + 2]
        kind = _order(tag)
        free = [gap for gap, here in enumerate(self.tags[:-1]) if kind not in map(_order, here)]
        start = [gap for gap in free if gap == first]
        clauses = [gap for gap in free if first < gap < end - 1 and self._begins_clause(gap)]
        likely, other = (clauses, start) if self.rng.random() < 0.2 else (start, clauses)
        options = likely or other or [gap for gap in free if not self._awkward(gap)] or free
        if not options:
            return False
        gap = pick(self.rng, options)
        self.tags[gap].append(tag)
        last = min(start for start in self.starts if start > gap) - 1
        if tag == "shouts" and self.words[last].endswith(".") and self.rng.random() < 0.5:
            self.words[last] = self.words[last].rstrip(".") + "!"
        return True

    def _begins_clause(self, gap: int) -> bool:
        return self.words[gap - 1][-1] in ",." or self.words[gap] in GRAMMAR["clause_words"]

    def _awkward(self, gap: int) -> bool:
        """Whether nobody would break off here."""
        if gap in self.starts:
            return False
        before, after = map(bare, self.words[gap - 1 : gap + 1])
        return before in grammar.LEANING_WORDS or after in GRAMMAR["enclitics"]

    def _add_moment(self, tag: str, before: int | None = None) -> bool:
        """Set an event or a pause, preferably before a given sentence; False if no gap is left."""
        if before is not None:
            gap = self.starts[before]
            if not self.tags[gap] and self.rng.random() < 0.6:
                return self._set(gap, tag)
        weights = [self._moment_weight(gap, tag) for gap in range(len(self.tags))]
        if not any(weights):
            return False
        return self._set(*self.rng.choices(range(len(weights)), weights), tag)

    def _moment_weight(self, gap: int, tag: str) -> float:
        here = self.tags[gap]
        if tag in here or len(here) >= 3:
            return 0.0
        crowding = 0.1 ** len(here)
        if gap in (0, len(self.words)):
            return 0.0 if tag == "pause" else 2.0 * crowding
        if gap in self.starts:
            return 4.0 * crowding
        if self._begins_clause(gap):
            return (0.35 if gap + 1 in self.starts else 4.0) * crowding
        if self._awkward(gap):
            return 1e-4
        short = any(end - 4 <= start < gap < end for start, end in pairwise(self.starts))
        return 0.35 * crowding * (0.2 if short else 1.0)

    def _set(self, gap: int, tag: str) -> bool:
        """Set an event, a pause or a stammer into a gap; inside a clause, "..." marks the break."""
        self.tags[gap].append(tag)
        if tag != "stammers" and gap not in self.starts and self.words[gap - 1][-1] not in ".,!?":
            self.words[gap - 1] += "..."
        return True

    def _add_stammer(self, sentences: Collection[int]) -> None:
        """Let the voice stumble at a word of one of the sentences, seldom at their last word."""
        spans = [span for s, span in enumerate(pairwise(self.starts)) if s in sentences]
        gaps = [gap for span in spans for gap in range(*span)]
        early = [gap for gap in gaps if gap + 1 not in self.starts]
        free = [gap for gap in early or gaps if "stammers" not in self.tags[gap]]
        self._set(pick(self.rng, free or gaps), "stammers")

    def _emphasise(self, count: int) -> None:
        """Put up to `count` words that can bear stress, no two neighbours, in capitals."""
        spots = [i for i, word in enumerate(self.words) if bare(word) in grammar.EMPHASIS_WORDS]
        self.rng.shuffle(spots)
        for spot in spots[:count]:
            first = spot - (spot not in self.starts)
            end = spot + 1 + (spot + 1 not in self.starts)
            if not any(word.isupper() and len(word) > 1 for word in self.words[first:end]):
                self.words[spot] = self.words[spot].upper()
