"""One script: which tags it gets, the words it is made of, and where the tags go in them.

An emotion or delivery tag stands before the words it colours, an event or pause where it happens,
a stammer before the word whose onset is repeated.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from evoxtral.tags import GROUPS, TAGS, find_tags, group_of, strip_tags
from evoxtral.world.scripts import grammar
from evoxtral.world.scripts.grammar import GRAMMAR, Family, Lines, bare, pick

Gap = tuple[int, int]
"""(sentence, words of it before the gap); the end of the script is (last, its length)."""

MAX_SECONDS, MAX_WORDS = 7.0, 16  # the audio window is 8 s
STATES: Lines = (*GROUPS["emotion"], "whispers", "shouts")
"""Tags that colour the words after them; all others are moments between words."""

EVENTS: Lines = GROUPS["nonverbal"]
_WORDS_PER_SECOND = 3.2  # espeak at 190 words a minute
_TAG_SECONDS = {"stammers": 0.3, **dict.fromkeys(("pause", *EVENTS), 0.7)}
_GROUP = {tag: group_of(tag) for tag in TAGS}
_TOGETHER = {frozenset(pair): factor for *pair, factor in GRAMMAR["together"]}
_ORDER_IN_GAP = {**dict.fromkeys(STATES, 1), "whispers": 2, "shouts": 2, "stammers": 3}
_CLAUSE_WORDS = {"and", "but", "because", "when", "who", "or", "then"}
_ENCLITICS = {"it", "me", "him", "her", "us", "them", "ago"}


def _seconds(tags: Collection[str]) -> float:
    return sum(_TAG_SECONDS.get(tag, 0.0) for tag in tags)


def fits(tagged_text: str) -> bool:
    """Whether a script keeps to `MAX_WORDS` and, with its events and pauses, `MAX_SECONDS`."""
    words = len(strip_tags(tagged_text).split())
    seconds = words / _WORDS_PER_SECOND + _seconds(find_tags(tagged_text))
    return words <= MAX_WORDS and seconds <= MAX_SECONDS


def _word_limit(*tags: str) -> int:
    """How many words still fit the time limit beside these tags."""
    return min(MAX_WORDS, int((MAX_SECONDS - _seconds(tags)) * _WORDS_PER_SECOND))


@dataclass(slots=True)
class Draft:
    """A text under construction: sentences of words with punctuation, and the tags in its gaps."""

    rng: random.Random
    sentences: list[list[str]]
    tags: defaultdict[Gap, list[str]] = field(default_factory=lambda: defaultdict(list))

    def gaps(self) -> list[Gap]:
        """All gaps in reading order, that at the end included."""
        inner = [(s, w) for s, words in enumerate(self.sentences) for w in range(len(words))]
        return [*inner, (len(self.sentences) - 1, len(self.sentences[-1]))]

    def render(self) -> str:
        """Write the tagged text: in a gap events, then emotion, delivery, the stammer last."""
        pieces: list[str] = []
        for s, w in self.gaps():
            here = sorted(self.tags[s, w], key=lambda tag: _ORDER_IN_GAP.get(tag, 0))
            pieces += [*(f"[{tag}]" for tag in here), *self.sentences[s][w : w + 1]]
        return " ".join(pieces)

    def add_state(self, tag: str, sentence: int) -> bool:
        """Let an emotion or delivery begin with a sentence, or now and then with a later clause.

        A gap holds one emotion and one way of speaking at most, so a second one goes on; False if
        all are taken. Half of the shouted sentences get an exclamation mark: always would give the
        shout away in print.
        """
        kind = _ORDER_IN_GAP[tag]
        kinds = {gap: [_ORDER_IN_GAP.get(t) for t in self.tags[gap]] for gap in self.gaps()[:-1]}
        free = [gap for gap, taken in kinds.items() if kind not in taken]
        start = [gap for gap in free if gap == (sentence, 0)]
        within = [gap for gap in free if gap[0] == sentence and gap[1]]
        clauses = [gap for gap in within if self._begins_clause(gap) and self._after(gap) > 1]
        first, second = (clauses, start) if self.rng.random() < 0.2 else (start, clauses)
        options = first or second or [gap for gap in free if not self._awkward(gap)] or free
        if not options:
            return False
        gap = pick(self.rng, options)
        self.tags[gap].append(tag)
        words = self.sentences[gap[0]]
        if tag == "shouts" and words[-1].endswith(".") and self.rng.random() < 0.5:
            words[-1] = words[-1].rstrip(".") + "!"
        return True

    def _after(self, gap: Gap) -> int:
        """Number of words of the sentence after a gap."""
        return len(self.sentences[gap[0]]) - gap[1]

    def _begins_clause(self, gap: Gap) -> bool:
        s, w = gap
        return self.sentences[s][w - 1][-1] in ",." or self.sentences[s][w] in _CLAUSE_WORDS

    def _awkward(self, gap: Gap) -> bool:
        """Whether nobody would break off here."""
        s, w = gap
        before, after = map(bare, self.sentences[s][w - 1 : w + 1]) if w else ("", "")
        return before in grammar.LEANING_WORDS or after in _ENCLITICS

    def add_moment(self, tag: str, before: int | None = None) -> bool:
        """Set an event or a pause into a gap; with `before`, preferably before that sentence.

        False if no gap is left for it: a pause needs words on both sides.
        """
        if before is not None and not self.tags[before, 0] and self.rng.random() < 0.6:
            self.set_moment((before, 0), tag)
            return True
        gaps = self.gaps()
        weights = [self._moment_weight(gap, tag, gap in (gaps[0], gaps[-1])) for gap in gaps]
        if not any(weights):
            return False
        self.set_moment(self.rng.choices(gaps, weights)[0], tag)
        return True

    def _moment_weight(self, gap: Gap, tag: str, outermost: bool) -> float:
        here = self.tags[gap]
        if tag in here or len(here) >= 3:
            return 0.0
        crowding = 0.1 ** len(here)
        if outermost:
            return 0.0 if tag == "pause" else 2.0 * crowding
        if gap[1] == 0:
            return 4.0 * crowding
        if self._begins_clause(gap):
            return (4.0 if self._after(gap) > 1 else 0.35) * crowding
        if self._awkward(gap):
            return 1e-4
        return 0.35 * crowding * (0.2 if len(self.sentences[gap[0]]) <= 4 else 1.0)

    def set_moment(self, gap: Gap, tag: str) -> None:
        """Set an event, a pause or a stammer into a gap; inside a clause, "..." marks the break."""
        self.tags[gap].append(tag)
        s, w = gap
        words = self.sentences[s]
        if tag != "stammers" and 0 < w < len(words) and words[w - 1][-1] not in ".,!?":
            words[w - 1] += "..."

    def add_stammer(self, sentences: Collection[int]) -> None:
        """Let the voice stumble at a word of one of the sentences, seldom at their last word."""
        gaps = [gap for gap in self.gaps()[:-1] if gap[0] in sentences]
        early = [gap for gap in gaps if self._after(gap) > 1]
        free = [gap for gap in early or gaps if "stammers" not in self.tags[gap]]
        self.set_moment(pick(self.rng, free or gaps), "stammers")

    def emphasise(self, count: int) -> None:
        """Put up to `count` words that can bear stress, no two neighbours, in capitals."""
        words = [(s, w, bare(self.sentences[s][w])) for s, w in self.gaps()[:-1]]
        spots = [(s, w) for s, w, word in words if word in grammar.EMPHASIS_WORDS]
        self.rng.shuffle(spots)
        for s, w in spots[:count]:
            around = self.sentences[s][max(w - 1, 0) : w + 2]
            if not any(word.isupper() and len(word) > 1 for word in around):
                self.sentences[s][w] = self.sentences[s][w].upper()


@dataclass(frozen=True)
class Brief:
    """What a script is made of, and from which random stream.

    `used` counts the tags used so far: what is behind is preferred, so that all 17 come about
    equally often. None stands for the tags' own frequencies.
    """

    rng: random.Random
    family: Family
    domain: str
    used: Counter[str] | None

    def write(self, slice_name: str) -> Draft | None:
        """Write a script of a slice, or None where no frame fitted (draw again)."""
        if slice_name == "edge":
            case = pick(self.rng, GRAMMAR["edge_cases"])
            return self._event(case) if case.startswith("event") else self._edge(case)
        return self._draft(self._draw(pick(self.rng, GRAMMAR["slices"][slice_name]["tags"])))

    def _draw(self, n: int, among: Collection[str] = TAGS) -> Lines:
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

    def _draft(self, tags: Lines, n_words: int | None = None) -> Draft | None:
        """Write a text of at most `n_words` words for these tags and set them into it.

        The length is drawn if not given: a few words, half a window, or as much as fits. None
        where no frame fitted.
        """
        rng, limit = self.rng, _word_limit(*tags)
        if n_words:
            room = min(n_words, limit)
        elif (draw := rng.random()) < 0.12 and len(tags) <= 2:
            room = rng.randint(2, 4)
        else:
            half = draw < 0.4 and len(tags) <= 4
            room = rng.randint(5, 8) if half else rng.randint(min(9, limit), limit)
        states = [tag for tag in tags if tag in STATES]
        count = 1
        if room > 4:
            count = rng.randint(1, 2) if room <= 8 else pick(rng, (1, 2, 2, 3))
            count = max(count, min(len(states), room // 3, 3))
        turns = sorted(range(count), key=lambda _: rng.random())
        owners = [(tag, turns[i % count]) for i, tag in enumerate(states)]
        near, moods = _moods(rng, tags, {s: tag for tag, s in reversed(owners)}, count)
        sentences = grammar.compose(rng, self.family, self.domain, moods, room)
        draft = Draft(rng, sentences)
        if len(sentences) < count or not all(draft.add_state(*owner) for owner in owners):
            return None
        shaky = {s for tag, s in owners if tag in ("nervous", "scared", "confused")}
        for tag in tags:
            if tag == "stammers":
                draft.add_stammer(shaky or range(count))
            elif tag not in STATES and not draft.add_moment(tag, near.get(tag)):
                return None
        if rng.random() < (0.66 if tags else 0.08):
            draft.emphasise(1 if rng.random() < 0.7 else 2)
        return draft

    def _edge(self, case: str) -> Draft | None:
        """Write a corner case that needs no event."""
        rng = self.rng
        match case:
            case "one_word":
                (tag,) = self._draw(1, set(TAGS) - {"pause"})
                draft = Draft(rng, [grammar.say(rng, "words_alone", self.domain)])
                if tag in STATES:
                    draft.add_state(tag, 0)
                else:
                    draft.set_moment((0, 0) if tag == "stammers" else pick(rng, draft.gaps()), tag)
                return draft
            case "spoken_tag_words":
                spoken = grammar.say(rng, "tag_words_spoken", self.domain)
                rest = self._draft((), max(_word_limit() - len(spoken) - 3, 1))
                more = rest.sentences if rest and rng.random() < 0.6 else []
                draft = Draft(rng, [spoken, *more])
                if rng.random() < 0.4:
                    draft.add_state(*self._draw(1, STATES), 0)
                return draft
            case "capitals_only":
                draft = self._draft(())
                if draft:
                    draft.emphasise(3)
                return draft
            case "pauses":
                count = rng.randint(3, 4)
                draft = self._draft((), _word_limit(*["pause"] * count))
                done = draft and all(draft.add_moment("pause") for _ in range(count))
                return draft if done else None
            case "change_of_voice":
                among = ("whispers", "shouts") if rng.random() < 0.5 else GROUPS["emotion"]
                return self._draft(self._draw(2, among))
            case _:
                return self._draft(("stammers", "stammers"))

    def _event(self, case: str) -> Draft | None:
        """Write a corner case of a sound: first, last, twice, or with states in one place."""
        rng = self.rng
        (event,) = self._draw(1, EVENTS)
        beside: Lines = (event,) if case == "event_twice" else ()
        states: Lines = ()
        if case == "event_last":
            beside = self._draw(rng.randint(0, 2), STATES)
        elif case == "event_with_states":
            states = self._draw(1, GROUPS["emotion"])
            states += self._draw(rng.randint(0, 1), ("whispers",))
        draft = self._draft(beside, _word_limit(*beside, event))
        if draft is None or case == "event_twice":
            return draft if draft and draft.add_moment(event) else None
        place = draft.gaps()[-1] if case == "event_last" else (0, 0)
        if states:
            place = (int(rng.random() * len(draft.sentences)), 0)
            draft.tags[place] += states
        draft.set_moment(place, event)
        return draft


def _moods(
    rng: random.Random, tags: Lines, colours: Mapping[int, str], count: int
) -> tuple[dict[str, int], list[str]]:
    """Tie some events to a sentence (by event) and choose the mood of every sentence.

    Half of the coloured sentences have words that suit the colour, the others neutral ones.
    """
    events = [tag for tag in tags if tag in EVENTS]
    near: dict[str, int] = {}
    moods = []
    for s in range(count):
        colour = colours.get(s)
        if colour is None and len(near) < len(events) and rng.random() < 0.6:
            colour = events[len(near)]
            near[colour] = s
        cues = GRAMMAR["tags"].get(colour, {}).get("moods")
        if cues and rng.random() < 0.5:
            moods.append(pick(rng, cues))
        else:
            moods.append("neutral" if cues else grammar.any_mood(rng))
    return near, moods
