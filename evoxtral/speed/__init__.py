"""How long the method's steps take: beside the straightforward way, as they grow, on a real GPU.

All ways of doing the same work run in one process and take turns, so that what else the machine
does hits them alike. The first round warms caches up and is not counted; before it, the results of
the ways are compared, but for samples, which are drawn at random. A speed-up is taken within a
round, where conditions are most alike.

Each part leaves `<part>_<profile>.csv` (`work | way | round | seconds`) and a JSON with its
conditions in `reports/speed/`; a stopped run goes on with the parts that are missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evoxtral import runs
from evoxtral.params import Speed

PLAIN, OURS = "plain", "ours"
PARTS = ("encode", "sft", "evaluate", "raft", "growth", "near_duplicates")
ROUNDS = 3

ABSENT = "Not measured: run `python -m evoxtral speed all`, or set `measure`."


def alternate(ways: Mapping[str, Callable[[int], Any]], rounds: int) -> pd.DataFrame:
    """Run all ways in turn, once to warm up and then so often; every other round goes backwards.

    A way takes the number of the round; what it returns, if it is a number of seconds, is taken
    in place of the clock.

    Returns:
        `way | round | seconds`, rounds from 1 on.
    """
    rows = []
    for number in range(rounds + 1):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            said = ways[name](number)
            seconds = said if isinstance(said, float) else time.perf_counter() - start
            rows.append({"way": name, "round": number, "seconds": seconds})
    made = pd.DataFrame(rows)
    order = {name: place for place, name in enumerate(ways)}
    made = made[made["round"] > 0].sort_values("way", key=lambda own: own.map(order), kind="stable")
    return made.sort_values("round", kind="stable", ignore_index=True)


def speed_ups(rounds: pd.DataFrame) -> pd.DataFrame:
    """Ours beside every straightforward way of the same work.

    Args:
        rounds: `work | way | round | seconds`.

    Returns:
        `work | plain | ours | plain_seconds | ours_seconds | ratio | low | high | rounds`: medians
        over rounds, and the least and the greatest ratio of a round.
    """
    rows = []
    for work, own in rounds.groupby("work", sort=False):
        seconds = own.pivot_table(index="round", columns="way", values="seconds", sort=False)
        for slow in [way for way in seconds if not way.startswith(OURS)]:
            for fast in [way for way in seconds if way.startswith(OURS)]:
                ratio = seconds[slow] / seconds[fast]
                rows.append(
                    {"work": work, "plain": slow, "ours": fast}
                    | {"plain_seconds": seconds[slow].median()}
                    | {"ours_seconds": seconds[fast].median()}
                    | {"ratio": ratio.median(), "low": ratio.min(), "high": ratio.max()}
                    | {"rounds": len(ratio)}
                )
    return pd.DataFrame(rows)


def exponents(points: pd.DataFrame) -> pd.DataFrame:
    """How time grows: slopes of straight lines through logarithms, 1 for proportional.

    Args:
        points: `work | way | size | seconds`.

    Returns:
        `work | way | smallest | largest | points | slope`.
    """
    rows = []
    for (work, way), own in points.groupby(["work", "way"], sort=False):
        if len(set(own["size"])) > 1:
            slope = float(np.polyfit(np.log(own["size"]), np.log(own["seconds"]), 1)[0])
            sizes = {"smallest": int(own["size"].min()), "largest": int(own["size"].max())}
            rows.append({"work": work, "way": way, **sizes, "points": len(own), "slope": slope})
    return pd.DataFrame(rows)


def compared(work: str, ways: Mapping[str, Callable[[int], Any]], rounds: int) -> pd.DataFrame:
    """Ways of one work in turns: `work | way | round | seconds`."""
    made = alternate(ways, rounds)
    made.insert(0, "work", work)
    return made


def measured(cfg: Speed) -> dict[str, pd.DataFrame]:
    """Measure what the parameters ask for, and read what is there (`read`)."""
    if cfg.measure != "none":
        from evoxtral.speed.ways import measure  # loads the deep-learning frameworks

        for _ in measure(cfg.profile, cfg.measure):
            pass
    return read(cfg.results)


def read(profile: str) -> dict[str, pd.DataFrame]:
    """What was measured of a profile, this user's own before what the checkout ships.

    Returns:
        `rounds` (`work | way | round | seconds`), `growth` (`curve | work | way | size | k |
        seconds`), `near_duplicates` (`texts | seconds`), `conditions` (a row per part), and
        `real` (`work | seconds | floor`) where a GPU was measured; those that are there.
    """
    folders = dict.fromkeys([runs.reports_dir() / "speed", runs.root() / "reports" / "speed"])
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.glob(f"*_{profile}.json")):
            found.setdefault(file.stem.removesuffix(f"_{profile}"), file)
    frames = {part: pd.read_csv(file.with_suffix(".csv")) for part, file in found.items()}
    rounds = [frames[part] for part in PARTS[:4] if part in frames]
    apart = {part: frames[part] for part in ("growth", "near_duplicates", "real") if part in frames}
    if rounds:
        apart["rounds"] = pd.concat(rounds, ignore_index=True)
    said = {part: runs.read_json(file)["conditions"] for part, file in found.items()}
    rows = [{"part": part, **one, **one["machine"]} for part, one in said.items()]
    if rows:
        apart["conditions"] = pd.DataFrame(rows).drop(columns="machine")
    return apart
