"""The closed vocabulary of the synthetic world, by word class.

Every word the generator can say stands here, under the class (a symbol of the grammar) that may
produce it, or among the words that phrases and sentence frames spell out. The vocabulary is small
so that a model of a few million parameters can learn to hear all of it. The words of the tag
vocabulary are in it as ordinary words ("she laughs a lot", "a calm lake"): a transcriber must not
take the word for the event.
"""

from __future__ import annotations


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FUNCTION = _split("""
    I you he she it we they me him her us them my your his our their everyone everything nobody
    nothing something someone anyone the a an this that one all any every no not and or but
    so if because when while until as of to in on at from with without for about like than near
    behind by outside across past back away over here there home where what who why
    which how is was are were do did be will has would can could should might let's yes okay
    oh hey hi hello goodbye thanks thank sorry maybe please really too just only always never
    ever even again still now then later today tonight tomorrow yesterday ago once before
    after almost more much many each next last first other same
    I'm don't can't it's that's you're we're didn't
    well honestly anyway actually finally suddenly
""")

_SPOKEN = _split("""
    want wants need needs forget keeps remember forgot think thinks thinking believe hope knows
    know see mean love hate like miss missed guess look looks looked listen listening stop wait
    waited waiting hear heard hears lose hold breathe run say says said tell told call called
    try tried talk talked talking happened coming put plays playing open opened read reading
    write wrote clean cleaned help helped give gave make made makes making sing sang sings sit
    sat work worked works walks walking drinks sleeps asking looking running taking came gone
    left finished laughs sighs gasps clears crying whispers shouts stammers pause throat morning
    night evening noon week time years hundred life end heart hand secret way course turn lot
    people song doing fair good right hard safe quiet fine careful closer loud wrong okay hurry
    welcome young little best answer show someone between
""")

CLASSES: dict[str, tuple[str, ...]] = {
    "name": _split("Anna Tom Sam Lucy Ben Maria"),
    "kin": _split("mother father sister brother daughter son friend neighbor"),
    "role": _split("teacher doctor driver captain singer nurse boss student"),
    "object": _split(
        "letter book box key phone picture clock map ring coat bag cup chair ticket car boat lamp "
        "guitar hat bottle mirror camera"
    ),
    "matter": _split("plan report project idea price question answer problem meeting job"),
    "animal": _split("dog cat bird horse"),
    "food": _split("bread cake soup dinner lunch breakfast"),
    "drink": _split("coffee tea water"),
    "sound": _split("music rain wind"),
    "writing": _split("story book letter report message"),
    "place": _split(
        "kitchen garden park school office station river beach lake mountain city street bridge "
        "hotel hospital church market library farm forest airport house"
    ),
    "building": _split("school office station hotel hospital church market library"),
    "room": _split("room kitchen office garden house"),
    "hinged": _split("door window box letter bag"),
    "weekday": _split("Monday Friday Sunday"),
    "season": _split("summer winter spring"),
    "number": _split("two three four five ten"),
    "unit": _split("minutes hours days weeks years"),
    "people": _split("friends people children students"),
    "things": _split("books letters questions keys shoes birds tickets boxes"),
    "noise": _split("noise voice knock"),
    "got": _split("found saw bought lost took brought wanted needed forgot left kept moved"),
    "get": _split("find buy take bring leave keep move"),
    "went": _split("went walked ran drove came"),
    "go": _split("go walk run drive come"),
    # What things, matters and places are like; in a mood, half of the time, the mood's own words.
    "adj": _split("old new small big long red blue green white black heavy simple clean"),
    "quality": _split("old new small big long simple different"),
    "site": _split("old small big long green white dark clean"),
    "sky": _split("long cold dark quiet"),
    "ordinal": _split("first last other same next"),
    "adj_good": _split("great wonderful beautiful amazing perfect lovely funny"),
    "adj_bad": _split("broken lost empty terrible awful lonely"),
    "adj_dark": _split("strange dark dangerous terrible cold empty"),
    "adj_heated": _split("ridiculous terrible awful wrong expensive"),
    "adj_unsure": _split("strange different wrong weird funny"),
    "adj_secret": _split("secret quiet special hidden"),
    "adj_surprise": _split("amazing huge strange beautiful weird"),
    "adj_soft": _split("quiet warm soft gentle slow peaceful calm"),
    "feel": _split("ready busy late early tired hungry fine alone"),
    "feel_good": _split("happy excited lucky proud"),
    "feel_bad": _split("sad sorry tired lonely alone"),
    "feel_dark": _split("scared nervous alone cold"),
    "feel_heated": _split("angry frustrated late wrong"),
    "feel_unsure": _split("confused nervous wrong lost"),
    "feel_secret": _split("quiet careful ready"),
    "feel_surprise": _split("surprised confused excited"),
    "feel_soft": _split("calm safe happy quiet"),
}

SURFACE: dict[str, str] = {
    word.lower(): word for group in (_FUNCTION, _SPOKEN, *CLASSES.values()) for word in group
}
"""Every word in lower case, with the way it is written inside a sentence (`anna` → `Anna`)."""

LEXICON: frozenset[str] = frozenset(SURFACE)
"""All plain words, lower case, contractions included: what a transcript can contain."""

EMPHASIS_WORDS: frozenset[str] = frozenset(
    _split(
        "never always really too not now every everything nothing nobody everyone all today "
        "tonight tomorrow again still only even just more last this why what your "
        "new big huge great amazing wonderful terrible awful beautiful perfect ridiculous right "
        "wrong gone alone love hate need please stop wait look three five ten two one"
    )
)
"""Words that may be stressed (written in capitals): two letters or more, no contraction."""

LEANING_WORDS: frozenset[str] = frozenset(
    (
        *_split(
            "the a an my your his her our their to of in at by for with near behind outside "
            "across from after before on than if as about without i too so and but or is was "
            "are were not no every last next this that some it's that's you're we're i'm"
        ),
        *CLASSES["number"],
        *(
            word
            for name in CLASSES
            if name.startswith(("adj", "quality"))
            for word in CLASSES[name]
        ),
    )
)
"""Words that lean on the next one: nobody pauses or laughs after them."""
