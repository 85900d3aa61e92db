"""The phrase level of the grammar: who, what, where, when, and what they do.

`PHRASES` holds what is common to all speech. `DOMAIN_CLASSES` and `MOOD_CLASSES` say which symbols
change with what the speech is for and with how the speaker feels. A mood colours the *words*;
whether the voice shows it too is decided elsewhere, on purpose only half of the time.
"""

from __future__ import annotations

from evoxtral.tags import GROUPS
from evoxtral.world.scripts.lexicon import CLASSES

PHRASES: dict[str, tuple[str, ...]] = {
    # Who: third person singular, plain-verb persons, any subject, objects, owners.
    "he": ("he", "she", "{name}", "{name}", "{poss} {kin}", "my {kin}", "the {role}"),
    "we": ("I", "you", "we", "they"),
    "we_are": ("we are", "they are", "we were", "they were", "you're", "we're"),
    "subj": ("{he}", "{he}", "I", "we", "they", "you"),
    "person": ("{name}", "{poss} {kin}", "the {role}", "someone"),
    "me": ("him", "her", "them", "{name}", "{name}", "{poss} {kin}"),
    "poss": ("my", "your", "his", "her", "our", "their"),
    # What: a bare noun, a noun with its adjective, noun phrases, what can be said of them.
    "thing": ("{object}", "{matter}"),
    "kind": ("{adj} {object}", "{quality} {matter}"),
    "np": (
        "the {thing}",
        "{poss} {thing}",
        "that {thing}",
        "a {thing}",
        "the {kind}",
        "{poss} {kind}",
        "a {kind}",
        "the {number} {things}",
        "{number} {adj} {things}",
        "the {ordinal} {thing}",
    ),
    "one": ("the {thing}", "{poss} {thing}", "that {kind}", "the {kind}"),
    "pred": ("new", "old", "small", "big", "different", "simple", "ready"),
    "mild": ("tired", "busy", "nervous", "careful", "happy", "excited", "quiet"),
    "at": (
        "near the {place}",
        "behind the {building}",
        "at the {place}",
        "by the {site} {place}",
        "outside the {building}",
        "across from the {building}",
        "in the {room}",
        "at home",
        "over there",
    ),
    "to": ("to the {place}", "to the {site} {place}", "past the {place}", "home", "{to_work}"),
    "to_work": ("to work", "to school", "back to the {place}"),
    # When: past, future, habitual.
    "ago": (
        "yesterday",
        "last night",
        "this morning",
        "last week",
        "on {weekday}",
        "last {season}",
        "{number} {unit} ago",
        "after lunch",
        "in the end",
    ),
    "soon": (
        "tomorrow",
        "tonight",
        "next week",
        "on {weekday}",
        "next {season}",
        "in {number} {unit}",
        "before noon",
        "after dinner",
        "today",
    ),
    "often": (
        "every morning",
        "every {weekday}",
        "in the {season}",
        "at night",
        "before breakfast",
        "every evening",
        "all the time",
    ),
    # Doing: past, base form, third person, -ing.
    "did": (
        "{got} {np}",
        "{got} {np}",
        "{got} {np} {at}",
        "{went} {to}",
        "{went} {to} with {me}",
        "read {poss} {writing}",
        "opened the {adj?} {hinged}",
        "made {food} for {me}",
        "talked to {me} about {np}",
        "gave {me} {np}",
        "told {me} about {np}",
        "waited {at}",
        "sat {at} with {me}",
        "worked {at}",
        "cleaned the {site?} {room}",
        "helped {me} with {np}",
        "called {me}",
        "sang for {me}",
        "looked for {np} {at}",
        "wrote a {quality} {writing}",
    ),
    "do": (
        "{get} {np}",
        "{get} {np}",
        "{get} {np} {at}",
        "{go} {to}",
        "{go} {to} with {me}",
        "read {poss} {writing}",
        "open the {adj?} {hinged}",
        "make {food} for {me}",
        "talk to {me} about {np}",
        "give {me} {np}",
        "tell {me} about {np}",
        "wait {at}",
        "sit {at} with {me}",
        "work {at}",
        "clean the {site?} {room}",
        "help {me} with {np}",
        "call {me}",
        "sing for {me}",
        "look for {np} {at}",
        "write a {quality} {writing}",
    ),
    "he_did": (
        "{did}",
        "{did}",
        "{did}",
        "{did}",
        "gave me {np}",
        "told us about {np}",
        "called me",
    ),
    "does": (
        "walks {to}",
        "works {at}",
        "drinks {drink} {at}",
        "sleeps {at}",
        "keeps {np} {at}",
        "wants {np}",
        "needs {np}",
        "makes {food}",
        "sings {at}",
        "plays with the {animal}",
        "{tagword}",
        "{tagword}",
    ),
    "doing": (
        "looking for {np}",
        "waiting {at}",
        "walking {to}",
        "crying {at}",
        "talking about {np}",
        "making {food}",
        "reading {poss} {writing}",
        "asking about {np}",
        "running {to}",
        "taking {np} {to}",
        "playing {at}",
    ),
    # The words of the tags, as words.
    "tagword": (
        "laughs a lot",
        "laughs about {np}",
        "sighs and looks away",
        "sighs a lot",
        "gasps at {np}",
        "whispers to {me}",
        "whispers too much",
        "shouts at the {animal}",
        "shouts from the {place}",
        "stammers a little",
        "stammers after a pause",
        "clears the {room}",
        "clears {poss} throat",
    ),
    "moody": GROUPS["emotion"],
    "fact": (
        "{one} is {pred}",
        "{one} was {pred}",
        "{he} {he_did}",
        "{he} was {feel}",
        "{he} is {feel}",
        "{we} {did}",
        "{one} is {at}",
    ),
    "lead": ("so", "well", "look", "honestly", "you know", "okay", "anyway", "actually", "listen"),
}

MOODS: tuple[str, ...] = (
    "neutral",
    "good",
    "bad",
    "dark",
    "heated",
    "unsure",
    "secret",
    "surprise",
    "soft",
)


def _mood(name: str) -> dict[str, tuple[str, ...]]:
    adjectives = CLASSES[f"adj_{name}"]
    return {
        "adj": adjectives,
        "quality": adjectives,
        "site": adjectives,
        "pred": adjectives,
        "feel": CLASSES[f"feel_{name}"],
    }


MOOD_CLASSES: dict[str, dict[str, tuple[str, ...]]] = {
    "neutral": {},
    **{name: _mood(name) for name in MOODS[1:]},
}

DOMAIN_CLASSES: dict[str, dict[str, tuple[str, ...]]] = {
    "conversation": {
        "thing": ("{object}",),
        "kind": ("{adj} {object}",),
        "object": ("coat", "cake", "phone", "dog", "cat", "camera"),
        "place": ("market", "park", "kitchen", "beach", "school"),
    },
    "monologue": {
        "thing": ("{object}",),
        "kind": ("{adj} {object}",),
        "object": ("mirror", "window", "picture", "clock", "letter"),
        "place": ("lake", "garden", "bridge", "house", "beach"),
    },
    "podcast": {
        "matter": ("story", "show", "question", "song"),
        "object": ("book", "guitar", "camera", "picture"),
        "place": ("city", "market", "library", "hotel"),
    },
    "presentation": {
        "thing": ("{matter}",),
        "kind": ("{quality} {matter}",),
        "place": ("office", "school", "city", "market", "hospital"),
        "things": ("questions", "books"),
    },
    "argument": {
        "object": ("car", "phone", "door", "key", "dinner"),
        "place": ("house", "kitchen", "station", "office"),
    },
    "storytelling": {
        "thing": ("{object}",),
        "kind": ("{adj} {object}",),
        "object": ("ring", "map", "boat", "horse", "bird", "box", "lamp"),
        "place": ("forest", "river", "mountain", "lake", "church", "bridge"),
        "role": ("captain", "singer", "driver"),
    },
    "interview": {
        "thing": ("{matter}",),
        "kind": ("{quality} {matter}",),
        "place": ("office", "school", "farm", "hospital", "city"),
        "role": ("teacher", "boss", "nurse", "doctor", "student"),
    },
    "voicemail": {
        "object": ("ticket", "car", "key", "phone", "bag"),
        "matter": ("message", "meeting", "job"),
        "place": ("station", "airport", "office", "hotel", "hospital"),
    },
}
