"""Sentence frames of the training families that tell: what was, what is, what goes on."""

from __future__ import annotations

from evoxtral.world.scripts.family import Family, family

TELLING: tuple[Family, ...] = (
    family(
        "report",
        """{subj} {went} {to} {ago}, and then {subj} {did}
        {ago}, {subj} {did} with {person}
        {subj} and {person} {he_did} {ago}
        {he} suddenly {did} and {went} {to} {ago}
        {subj} {did} {ago}, but {he} never came""",
        """{subj} {did} {ago}
        {subj} {got} {np} {at}
        {ago}, {subj} {did}
        {he} finally {did}
        {person} just {did}""",
        """{subj} {went} {to}
        {subj} {got} {one}
        {he} called {ago}
        {he} just {went} home
        {subj} {got} it {ago}
        {person} {got} {one}""",
    ),
    family(
        "scene",
        """the {kind} {at} was {pred}, and {one} was {pred}
        there was a {kind} {at}, and {subj} {got} it
        {at}, there were {number} {adj} {things} and a {kind}
        the {place} was {site} and {site} {ago}, without any {people}
        there is only one {kind} {at} now""",
        """there was a {kind} {at}
        the {thing} {at} was {pred}
        {at}, it was {site} and {site}
        there were {number} {people} {at}
        that {site} {place} is {site} now""",
        """it was {site}
        the {place} was {site}
        there is a {kind}
        {one} looked {pred}
        only {number} {people}""",
    ),
    family(
        "memory",
        """when I was young, {we} always {did}
        I still remember the {kind} and the {kind} {at}
        {number} years ago, {subj} {did} for the first time
        I remember how {subj} {did} that {season}
        before {he} {went} home, {subj} {did}""",
        """I remember the {kind} {at}
        when we were young, {subj} {did}
        {number} {unit} ago, {subj} {did}
        I never forgot {np} {at}
        {we} once {did}""",
        """I remember {one}
        that was {number} {unit} ago
        we were so young
        I remember {person}
        that {site} {season}""",
    ),
    family(
        "habit",
        """{often}, {he} {does} and then {does}
        {person} always {does} {often}, and nobody hears it
        {he} never {does}, but {person} {does}
        {often}, my {kin} {does} with {me}
        {he} {does} {often}, just like {person}""",
        """{he} {does} {often}
        {he} always {does}
        {often}, {he} {does}
        my {kin} never {does}
        {person} {does} with {me}""",
        """{he} never sleeps
        {he} {tagword}
        {he} {does}
        not {often}
        {he} needs {one}""",
    ),
    family(
        "sequence",
        """first {subj} {did}, then {person} {he_did}
        first {do}, then {do} {soon}
        {subj} {got} {np}, {got} {np}, and {went} {to}
        first came {one}, then {one}, and then {one}
        after {number} {unit}, {subj} {did} and {did}""",
        """first {np}, then {np}
        first {subj} {did}
        then {person} {he_did}
        after that, {subj} {did}
        {number} {unit} later, {subj} {did}""",
        """first {one}
        then {he} {went} home
        and then {np}
        {number} {unit} later
        after that, {one}""",
    ),
    family(
        "hearsay",
        """{person} said that {fact}, and {fact}
        {he} told {me} that {fact}
        someone said {subj} {did} {ago}
        did {person} say that {fact}?
        {name} thinks {fact}, and everyone knows {fact}""",
        """{person} said {fact}
        {he} told {me} that {fact}
        someone said {subj} {did}
        {name} thinks {fact}
        they say {one} is {pred}""",
        """{person} said no
        {name} knows {one}
        {he} said {soon}
        {he} told {me}
        everyone says so""",
    ),
    family(
        "ongoing",
        """{he} is {doing}, and {he} is {doing}
        {he} was {doing} when {person} {he_did}
        I'm {doing} {soon}, and {person} is {doing}
        I was {doing} while {person} was {doing}
        {we_are} {doing} until {person} {he_did}""",
        """I'm {doing} now
        {he} is {doing}
        {we_are} {doing}
        {person} was {doing} {ago}
        I was {doing}""",
        """I'm {doing}
        {we_are} coming {soon}
        {he} is {feel}
        {he} was crying
        I'm {feel}""",
    ),
    family(
        "tally",
        """{number} {things}, {number} {things}, and only one {kind}
        {number} of my {people} {did} {ago}
        each of the {number} {things} was {pred} and {pred}
        {subj} {got} {number} {things} and almost {number} hundred {things}
        only {number} people {did}, the other {number} {went} {to}""",
        """{number} of my {people} {did}
        {number} {things} and one {thing}
        {subj} {got} {number} {adj} {things}
        only {number} people {did}
        all the {things} were {pred}""",
        """{number} {things}
        {number} or {number} {unit}
        all {number} of them
        one {thing}, {number} {things}
        only one {kind}""",
    ),
)
