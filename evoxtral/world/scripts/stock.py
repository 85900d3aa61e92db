"""Short stock sentences: reactions by mood, and how each domain opens and closes.

They are shared by all families (people say "oh no" whatever they say next), carry their own
final punctuation, and may contain grammar symbols.
"""

from __future__ import annotations


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


REACTIONS: dict[str, tuple[str, ...]] = {
    "neutral": _lines(
        """Here, {name}.
        This way, please.
        One more {thing}.
        Now {one}.
        I see.
        Okay, {name}.
        Let's see.
        That's all.
        It's {at}.
        Yes, {soon}.
        {one}, of course.
        You know {person}.
        It's just a {thing}.
        Here is {one}."""
    ),
    "good": _lines(
        """This is {pred}!
        You're the best, {name}!
        {poss} {thing} is here!
        Look at {one}!
        That's {pred}!
        What a {kind}!
        I love {one}!
        Thank you so much!
        I can't wait!
        {name}, look at this!
        We did it, {name}!
        I'm so {feel}!
        Best {thing} ever!
        That's so funny!"""
    ),
    "bad": _lines(
        """{poss} {thing} is broken.
        {he} left us.
        It was my {thing}.
        I lost everything.
        {one} is gone.
        I miss {person}.
        We lost {one}.
        It's over, {name}.
        I'm so sorry.
        I miss {one}.
        Nothing is left.
        What a {kind}.
        I can't do this again.
        {he} never came back."""
    ),
    "dark": _lines(
        """It's so dark here.
        Where is {name}?
        It's coming, {name}.
        {he} is not alone.
        Who is there?
        Don't move, {name}.
        What was that {noise}?
        Run, {name}!
        Did you hear that?
        Something is {at}.
        I can't see {one}.
        Someone is {at}.
        Please don't go {to}.
        I heard a {noise}."""
    ),
    "heated": _lines(
        """Leave me alone!
        It's wrong, {name}!
        You took {one}!
        Why {one}?
        Not again, {name}!
        Stop it!
        No more!
        I told you about {one}!
        How could you?
        You never listen!
        That's not {poss} {thing}!
        Give me {one}!
        It's always {one}!
        I hate {one}!"""
    ),
    "unsure": _lines(
        """Who is {name}?
        {one}, maybe.
        Did I say {soon}?
        Where are we?
        I don't know.
        Wait, what?
        Which {thing}?
        What do you mean?
        Is that {pred}?
        Maybe it's {one}.
        Was it {person}?
        I can't remember {one}.
        That's {pred}.
        How should I know?"""
    ),
    "secret": _lines(
        """Only {name} knows.
        Not here, {name}.
        It's in the {hinged}.
        Hold this {thing}.
        Don't tell {me}.
        It's a secret.
        Be quiet, {name}.
        Come closer.
        Nobody knows about {one}.
        Not so loud.
        It's hidden {at}.
        Just between us.
        {he} can't hear us.
        Be careful, {name}."""
    ),
    "surprise": _lines(
        """Is this {one}?
        {he} did it!
        It's so {pred}!
        Oh, {name}!
        Oh no, {one}!
        No way!
        Look, {name}!
        Oh, it's {person}!
        I can't believe it!
        Look at {one}!
        Was that {person}?
        {np}, really?
        You did what?
        It's gone!"""
    ),
    "soft": _lines(
        """I'm here, {name}.
        The {place} is quiet.
        All is well.
        You're home now.
        It's okay, {name}.
        Take your time.
        Everything is fine.
        Just breathe.
        Sit with me, {name}.
        You're safe here.
        Just listen to the {sound}.
        There is no hurry.
        It's so {site} here.
        Hold my hand."""
    ),
}

OPENERS: dict[str, tuple[str, ...]] = {
    "conversation": _lines(
        """Hey, {name}.
        Guess what, {name}.
        Oh, hi, {name}.
        You know what?
        How are you?"""
    ),
    "monologue": _lines(
        """Here we are again.
        One more {season} alone.
        Maybe I was wrong.
        I can't forget {one}.
        My heart knows."""
    ),
    "podcast": _lines(
        """Welcome back.
        Welcome to the show.
        Today we talk about {np}.
        This is the {name} show.
        Hello, everyone."""
    ),
    "presentation": _lines(
        """Good morning, everyone.
        Next question, please.
        Look at this {kind}.
        Thank you for coming.
        Here is the {ordinal} {thing}."""
    ),
    "argument": _lines(
        """Listen to me, {name}.
        That's not fair.
        We talked about this.
        I'm not finished.
        You said {soon}."""
    ),
    "storytelling": _lines(
        """Once there was a {role}.
        It was a {sky} night.
        Nobody knows why.
        The {role} said nothing.
        The {place} was dark."""
    ),
    "interview": _lines(
        """Good question.
        Tell me about {np}.
        Thank you for asking.
        Wait, let's see.
        That's a hard question."""
    ),
    "voicemail": _lines(
        """Hi, it's {name}.
        It's me again.
        Hello, {name}.
        Sorry I missed you.
        Hey, this is {name}."""
    ),
}

CLOSERS: dict[str, tuple[str, ...]] = {
    "conversation": _lines("See you {soon}.\nWhat do you think?\nRight, {name}?\nThat's it."),
    "monologue": _lines("That's life.\nAnd that was it.\nWhat now?\nMaybe {soon}."),
    "podcast": _lines("More after this.\nThanks for listening.\nBack {soon}.\nThat's the show."),
    "presentation": _lines(
        "Any questions?\nThank you, everyone.\nThat's the {thing}.\nThank you all."
    ),
    "argument": _lines("It's your turn.\nI'm not listening.\nYou know it.\nThat's my answer."),
    "storytelling": _lines("The end.\nAnd then, nothing.\nThat was long ago.\nNobody came back."),
    "interview": _lines("Next question, please.\nThat's my answer.\nWhat about you?\nThank you."),
    "voicemail": _lines("Call me {soon}.\nTalk to you {soon}.\nGoodbye, {name}.\nCall me back."),
}

WORDS_ALONE: tuple[str, ...] = _lines(
    """wait
    what
    no
    yes
    okay
    hello
    goodbye
    please
    stop
    listen
    look
    really
    sorry
    tomorrow
    again
    nothing
    {name}
    {name}
    {thing}
    {adj}
    {feel}
    {place}
    {number}
    {noise}
    {drink}
    {animal}
    {weekday}
    {season}"""
)
"""What can be said as one word."""

TAG_WORDS_SPOKEN: tuple[str, ...] = _lines(
    """{he} {tagword}
    {he} always {tagword}
    {often}, {he} {tagword}
    my {kin} never {tagword}
    {person} {tagword} and {tagword}
    {he} {tagword} {often}, but {person} {tagword}
    {he} was {moody}, and {he} was {moody}
    {one} made {me} {moody}
    why is {he} so {moody}?
    {person} is {moody} {often}
    I was crying {at}
    {person} looked {moody} {ago}
    pause the {sound} {at}
    there was a long pause {at}
    it's a calm {place}"""
)
"""Sentences that say the words of the tags, where no tag is meant."""
