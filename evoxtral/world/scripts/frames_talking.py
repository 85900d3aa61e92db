"""Sentence frames of the training families that deal with someone: ask, plan, judge, refuse."""

from __future__ import annotations

from evoxtral.world.scripts.family import Family, family

TALKING: tuple[Family, ...] = (
    family(
        "plan",
        """maybe {we} should {go} {to} {soon}, and then {do}
        {soon}, {subj} will {do} with {person}
        let's {go} {to} {soon}, and {person} can {do}
        I was thinking, maybe {we} could {do} {soon}
        {subj} might {do} {soon} and then {go} {to}""",
        """let's {do} {soon}
        {subj} will {do}
        maybe {we} could {do}
        {subj} can {do} {soon}
        {we} should {do} {soon}""",
        """let's {go} {to}
        maybe {soon}
        {he} will come {soon}
        {we} could {get} it
        let's try {one}""",
    ),
    family(
        "question",
        """did {subj} {do} {ago}, or was it {person}?
        where did {subj} put {np} when {he} {went} {to}?
        why did {person} {do} and then {go} {to}?
        who {did} {ago}, and what happened {at}?
        how many {things} did {subj} see {at} {ago}?""",
        """did {subj} {do} {ago}?
        did anyone {do}?
        where did {subj} put {np}?
        why did {he} {do}?
        who {did} {ago}?
        can you {do} {soon}?
        do you want {np}?
        what is {one} doing {at}?""",
        """where is {one}?
        did {he} {get} it?
        who {got} {one}?
        what about {soon}?
        is this {one}?
        why {soon}?""",
    ),
    family(
        "request",
        """please {do} {soon}, and don't lose {np}
        {name}, please {do} before you {do}
        can you please {go} {to}, and then {do} {soon}?
        don't {do} {soon}, just {do}
        take {np} {to} and give it to {me} {soon}""",
        """please {do} {soon}
        don't {do}, please
        {name}, {do}
        please give me {np} {soon}
        tell us about {np}
        put {np} {at}""",
        """please {go} {to}
        {get} {one}, please
        wait {at}
        call {me} {soon}
        don't lose {one}""",
    ),
    family(
        "opinion",
        """I think {one} is {pred}, and {one} is too {pred}
        honestly, I believe {subj} should {do} {soon}
        {np} would be {pred} for {me} and {person}
        I don't think {subj} {did} {ago}
        everyone says {one} was {pred}, and maybe that's right""",
        """I think {one} is {pred}
        I believe {subj} {did}
        {np} would be {pred}
        I don't think {he} {he_did}
        I hope {subj} {got} {np}""",
        """I think so
        it's so {pred}
        I like {one}
        {one} is {pred}
        I hope so, {name}""",
    ),
    family(
        "contrast",
        """{subj} wanted to {do}, but {one} was {pred}
        {subj} {did} {ago}, but not {np}
        I told {me} about {np}, but {he} {he_did}
        it looked {pred}, but {subj} {did} {at}
        {he} is {feel}, but {person} is {feel}""",
        """{one} is {pred}, but not {pred}
        {subj} tried, but {he} {he_did}
        {he} was {feel}, but not {feel}
        {subj} {did}, but not {ago}
        not {np}, but {np}""",
        """{pred}, but not so {pred}
        not {soon}, but {soon}
        {he} tried, but no
        good, but not {pred}
        but not {person}""",
    ),
    family(
        "denial",
        """nobody {went} {to} {ago}, and nobody will {do}
        {subj} didn't want {np}, and I can't {do}
        I never {did}, not even {ago}
        no, {subj} can't {do} without {np}
        {subj} will never {do} again, not even {soon}""",
        """nobody {did} {ago}
        {subj} didn't {do}
        I can't {do} {soon}
        no, {person} never {did}
        there is no {thing} {at}""",
        """nobody {got} it
        I didn't need it
        no {thing}, no {thing}
        not without {one}
        I can't {go} {to}""",
    ),
    family(
        "naming",
        """{name}, this is my {kin}, and that's {poss} {kind}
        this is {one}, and that's {one} {at}
        the {role} is {poss} {kin}, and {he} {does}
        that's the {kind}, and it's for {me}
        {poss} {kin} has a {kind} and {number} {things}""",
        """this is {poss} {kind}
        that's {one} {at}
        {name} is {poss} {kin}, the {role}
        {poss} {kin} has a {kind}
        it's a {kind} for {me}""",
        """this is {name}
        that's {one}
        it's {poss} {thing}
        {poss} {kin}, the {role}
        a {kind}""",
    ),
)
