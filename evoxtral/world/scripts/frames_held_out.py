"""Sentence frames of the held-out families: constructions that no training text uses."""

from __future__ import annotations

from evoxtral.world.scripts.family import Family, family

HELD_OUT: tuple[Family, ...] = (
    family(
        "condition",
        """if you {go} {to} {soon}, {subj} will {do}
        if {he} {he_did}, why is {one} {at}?
        {subj} would {do} if {one} was {pred}
        if it's {pred}, just {do} {soon}""",
        """{do} if you can
        if {one} is {pred}, {go} {to}
        {subj} would {do} if {he} called
        what if {he} {he_did}?""",
        """what if {he} knows?
        only if it's {pred}
        if you like
        what if {np}?
        if not {soon}, when?""",
        held_out=True,
    ),
    family(
        "comparison",
        """{he} is more {mild} than {person} was {ago}
        {one} is as {pred} as {one} {at}
        {poss} {thing} was almost as {pred} as {poss} {thing} {at}
        {subj} would like {np} more than {np}""",
        """{one} is as {pred} as {one}
        it's more like {np} than {np}
        nothing is as {pred} as {one}
        {he} is as {mild} as {person}""",
        """as {pred} as {one}
        more like {np}
        not as {pred} as that
        more {things} than ever""",
        held_out=True,
    ),
    family(
        "cleft",
        """what {we} really need is {np} {at}
        it was {person} who {did} {ago}
        what {he} wants {soon} is {np} and {np}
        the only one who {did} was {person}""",
        """what {we} need is {np}
        it was {person} who {did}
        all {we} want is {np}
        that's how {subj} {did}""",
        """all I want is a {thing}
        it was {person}
        what {he} needs is {me}
        that's who called""",
        held_out=True,
    ),
    family(
        "reason",
        """{subj} {did} {ago} because {one} was {pred}
        because {he} {he_did}, {subj} {did} {ago}
        that's why {subj} {did}, because {one} is {pred}
        {he} is {feel} because {person} {he_did}""",
        """{subj} {went} home because of {np}
        because {one} was {pred}, {subj} {went} {to}
        that's why {subj} {did}
        {he} is {feel} because of {np}""",
        """because of {one}
        because it's {pred}
        that's why {he} left
        because {he} {got} it""",
        held_out=True,
    ),
    family(
        "relative",
        """the {role} who {did} {ago} is {feel} now
        {one} that {subj} {got} {ago} is {pred}
        {he} {got} the {thing} that {person} {got} {at}
        everyone who {did} will {do} {soon}""",
        """the {role} who {did} is {feel}
        {one} that {subj} {got} is {pred}
        someone who knows {went} {to}
        I know the {place} where {subj} {went}""",
        """I know who {got} it
        I know where {he} is
        it's the one {he} {got}
        find me someone who knows""",
        held_out=True,
    ),
)
