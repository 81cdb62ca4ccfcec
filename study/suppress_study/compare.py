"""A run beside the published one: which of its figures lie where further trainings are to be expected.

    inside   if  |yours - published| <= t(95 %) * s * sqrt(1 / published seeds + 1 / own seeds)
    differs  if it is farther off than that at the level 1 - 5 % / number of figures (Bonferroni)

s is the standard deviation of the published seeds, or the least step there is where they agree more closely: one image
of a share, a thousandth of anything else. So 5 of 100 figures lie outside with nothing wrong, and of 100 sound runs at
most 5 have a figure that differs, however figures go together. A share of zeros is set and not drawn: it may lie a
hundredth beyond the published seeds', which is more than one weight of LeNet5's smallest layer, and differs beyond.

`comparison.json` holds
    run, published      the folders
    profile, campaign   of the run
    verdict             agrees, differs or not comparable
    said                that in a sentence
    counts              figures (the run's own); compared, inside, outside and differ; outside_by_chance, as expected;
                        not_comparable; not_made, which the published run alone has
    conditions          machine, versions, data, code: what, yours and published (all that were found), same
    settings            what was set otherwise, and in brackets of which networks or attacks
    claims              claim, its verdict in yours and in published (empty where it is not asked), yours_by and
                        published_by (what decides it), otherwise (how it is asked and what it is of is set otherwise)
    figures             model, attack, metric, yours, published, low, high (of 95 %), agrees (null: not to be said),
                        note (why not), differs, distance (in reaches of the interval beyond which it differs), factors
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from suppress_privacy.evaluation.intervals import LEVEL
from suppress_privacy.evaluation.verdict import LEAST_SEEDS, Verdict
from suppress_study.campaigns import kept as campaign_of
from suppress_study.results import PUBLISHED, ResultError, key, published_campaigns, write_json
from suppress_study.settings import ROOT
from suppress_study.sides import SET, Factors, Figure, Side, Which

AGREES, DIFFERS, NOT_COMPARABLE = "agrees", "differs", "not comparable"
EXIT_CODES = {AGREES: 0, DIFFERS: 3, NOT_COMPARABLE: 5}
NOT_MADE = "not made"
CELLS = ("network", "attack", "figure", "yours", "published", "95 % of single trainings", "agrees")
FILE = "comparison.json"
NAMED = 3  # commits, reasons or figures that are named before the others are counted
OWN_WAY = ("profile", "trainings of a network", "made", "core-hours")  # conditions that are no reason to differ


@dataclass(frozen=True)
class Compared:
    """One figure of a run, with the 95 % interval in which the published run leads one to expect it."""

    model: str
    attack: str
    metric: str  # how it is called
    yours: float | None  # None: not made
    published: float | None = None
    low: float | None = None  # None where nothing can be expected, see `note`
    high: float | None = None
    agrees: bool | None = None  # None where that cannot be said
    note: str = ""
    distance: float = 0.0  # from the middle, in reaches of the interval beyond which it differs
    name: str = ""  # of the metric
    factors: Factors = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        return self.agrees is False and self.distance > 1

    def __str__(self) -> str:
        expected = f", expected {self.low:.3f} to {self.high:.3f}" if self.low is not None else ""
        return f"{' of '.join(filter(None, (self.attack, self.model)))}: {self.metric} {self.yours:.3f}{expected}"


@dataclass(frozen=True)
class Answer:
    """A claim's verdict in both runs, empty where it is not asked; what decides each, and why they may differ."""

    yours: str
    published: str
    yours_by: str = ""
    published_by: str = ""
    otherwise: list[str] = field(default_factory=list)  # as it is asked, or as what it is decided by was made

    @property
    def differs(self) -> bool:
        return "" != self.yours != self.published != ""


@dataclass(frozen=True)
class Comparison:
    """All figures of a run beside the published ones, and those that it lacks."""

    profile: str
    campaign: str
    figures: list[Compared]
    conditions: dict[str, tuple[list[str], list[str]]]  # yours and the published run's
    settings: list[str]  # what was set otherwise, and of which networks or attacks
    claims: Mapping[str, Answer] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        if not any(one.agrees is not None for one in self.figures):
            return NOT_COMPARABLE
        return DIFFERS if any(one.differs for one in self.figures) else AGREES

    @cached_property
    def outside(self) -> list[Compared]:
        """Figures outside their intervals, the most extreme first."""
        return sorted((one for one in self.figures if one.agrees is False), key=lambda one: -one.distance)

    def counts(self) -> dict[str, float]:
        own = [one for one in self.figures if one.yours is not None]
        compared = [one for one in own if one.agrees is not None]
        return {
            "figures": len(own),
            "compared": len(compared),
            "inside": len(compared) - len(self.outside),
            "outside": len(self.outside),
            "outside_by_chance": round((1 - LEVEL) * sum(one.name not in SET for one in compared), 2),
            "differ": sum(one.differs for one in compared),
            "not_comparable": len(own) - len(compared),
            "not_made": len(self.figures) - len(own),
        }

    def said(self) -> str:
        """How far the two agree: one sentence."""
        counts = self.counts()
        if self.verdict == NOT_COMPARABLE:
            notes = sorted({one.note for one in self.figures if one.yours is not None})
            return f"No figure of it can be held beside the published run ({few(notes)})."
        chance = counts["outside_by_chance"]
        by_chance = "none" if chance < 0.5 else f"about {chance:.0f}"
        differing = [str(one) for one in self.outside if one.differs]
        some = f"{len(differing)} differ beyond chance ({few(differing)})"
        found = some if differing else "none differs beyond chance"
        return (
            f"{counts['inside']} of {counts['compared']} figures agree with the published run; {by_chance} of them "
            f"would lie outside by chance; {found}."
        )

    def unlike(self) -> dict[str, tuple[list[str], list[str]]]:
        """The conditions that may be a reason to differ, and are not the same."""
        return {
            name: both for name, both in self.conditions.items() if name not in OWN_WAY and {*both[0]} != {*both[1]}
        }


def compare(own: Side, published: Side) -> Comparison:
    """Each figure of a run beside the published one."""
    data = _other_data(own, published)
    why = {which: data or _why_not(own, published, which) for which in own.figures}
    drawn = sum(not note and which[1] not in SET for which, note in why.items())
    together = 1 - (1 - LEVEL) / max(drawn, 1)
    figures = [_beside(one, published.figures.get(which), why[which], together) for which, one in own.figures.items()]
    figures += [
        Compared(one.model, one.attack, one.metric, None, one.mean, note=NOT_MADE, name=one.name, factors=one.factors)
        for which, one in published.figures.items()
        if which not in own.figures
    ]
    mine, theirs = own.conditions(), published.conditions()
    both = {name: (mine.get(name, []), theirs.get(name, [])) for name in dict.fromkeys([*mine, *theirs])}
    claims = {name: _answer(own, published, name) for name in own.summary.verdicts | published.summary.verdicts}
    return Comparison(own.summary.profile, own.summary.campaign, figures, both, _otherwise(own, published), claims)


def _other_data(own: Side, published: Side) -> str:
    """Why no figure is to be compared, if that is so."""
    data = own.summary.data
    if data != published.summary.data:
        return f"not comparable: {data.name} with {data.train:,} training images"
    if (mine := own.data_sha256()) and (theirs := published.data_sha256()) and mine != theirs:
        return f"not comparable: {data.name} of other bytes"
    if own.summary.images != published.summary.images:
        return f"not comparable: {own.summary.images} private images"
    return ""


def _why_not(own: Side, published: Side, which: Which) -> str:
    """Why a figure of the same data is not to be compared; nothing if it is."""
    if which not in published.figures:
        return "not part of the published run"
    if len(published.figures[which].by_seed) < LEAST_SEEDS:
        return "not comparable: too few published trainings"
    otherwise = _set_otherwise(own, published, own.figures[which])
    return f"other settings: {', '.join(otherwise)}" if otherwise else ""


def _answer(own: Side, published: Side, name: str) -> Answer:
    """A claim in both runs."""
    mine, its = (side.summary.verdicts.get(name) for side in (own, published))
    if mine is None or its is None:
        return Answer(mine.verdict if mine else "", its.verdict if its else "")
    runs = (own.runs.get(run) for one in mine.comparisons for run in one.runs)
    made = {(run.kind, key(run.factors)) for run in runs if run}
    there = [figure for figure in own.figures.values() if figure.made_by[0] in made]
    claims = [side.claims.claims[name] for side in (own, published) if name in side.claims.claims]
    asked = [each.model_dump(mode="json", exclude={"text", "source"}) for each in claims]
    otherwise = [one for other in asked[1:] for one in _differences(asked[0], other)]
    otherwise += [one for each in there for one in _set_otherwise(own, published, each)]
    return Answer(mine.verdict, its.verdict, _decided_by(mine), _decided_by(its), [*dict.fromkeys(otherwise)])


def _decided_by(found: Verdict) -> str:
    """The effect that decides a claim with its interval, and the reason."""
    effect = "" if found.effect is None else f"{found.effect:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
    return "; ".join(filter(None, (effect, found.reason)))


def _otherwise(own: Side, published: Side) -> list[str]:
    """All that was set otherwise, each with the networks that were trained so, or the attacks that were made so."""
    whose: dict[str, tuple[set[str], set[str]]] = {}
    for one in own.figures.values():
        for each in _set_otherwise(own, published, one):
            whose.setdefault(each, (set(), set()))[one.attack != ""].add(one.attack or one.model)
    return [f"{each} ({few(sorted(models or attacks))})" for each, (models, attacks) in sorted(whose.items())]


def _set_otherwise(own: Side, published: Side, figure: Figure) -> list[str]:
    """What was set otherwise in the runs that a figure is of, and so is a reason to differ."""
    pairs = ((own.settings.get(each), published.settings.get(each)) for each in figure.made_by)
    found = [one for mine, theirs in pairs if mine and theirs for one in _differences(mine, theirs)]
    return list(dict.fromkeys(found))


def _differences(own: Mapping[str, Any], other: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Settings that both have with different values; one that only a newer run has is at its default."""
    for name in sorted(own.keys() & other.keys() - {"title", "band"}):
        one, two = own[name], other[name]
        if isinstance(one, dict) and isinstance(two, dict):
            yield from _differences(one, two, f"{place}{name}.")
        elif one != two:
            yield f"{place}{name} {one} instead of {two}"


def _beside(one: Figure, known: Figure | None, note: str, together: float) -> Compared:
    """A figure with what is to be expected.

    Args:
        one, known: the run's, and the published run's.
        note: why the two are not to be compared.
        together: the level of the intervals that hold for all figures at once.
    """
    said = Compared(one.model, one.attack, one.metric, one.mean, note=note, name=one.name, factors=one.factors)
    if known is None or len(known.by_seed) < LEAST_SEEDS:
        return replace(said, published=known.mean if known else None)
    low, high = one.expected(known, LEVEL)
    end = one.expected(known, together)[one.mean > known.mean]
    distance = abs(one.mean - known.mean) / abs(end - known.mean) if end != known.mean else 0.0
    agrees = None if note else low <= one.mean <= high
    return replace(said, published=known.mean, low=low, high=high, agrees=agrees, distance=distance)


def few(names: Sequence[str]) -> str:
    """Some names, and how many there are besides."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def compare_folders(run: Path, published: Path | None = None, file: str = FILE) -> Comparison:
    """A folder's run beside another's, by default the published one of its campaign; written to the run's folder too.

    Args:
        run, published: the folders.
        file: the name of what is written.

    Raises:
        ValueError: one of them has no runs, or damaged ones; they are the same, or of two campaigns.
    """
    published = published or _published_for(run)
    if run.resolve() == published.resolve():
        raise ResultError(f"{run} is the published run itself: name another one, as RUN or as PUBLISHED.")
    own, other = Side.load(run), Side.load(published)
    mine, theirs = own.summary.campaign, other.summary.campaign
    if mine != theirs:
        both = f"{run} is of campaign {mine}, {published} of {theirs}"
        raise ResultError(f"{both}: name a folder of {mine} as PUBLISHED.")
    found = compare(own, other)
    _save(found, run / file, published)
    return found


def _published_for(run: Path) -> Path:
    """The published folder of a run's campaign.

    Raises:
        ResultError: there is none.
    """
    if (campaign := campaign_of(run)) is None:
        return ROOT / PUBLISHED
    name = campaign["name"]
    folders = published_campaigns(ROOT / PUBLISHED, [name])
    if name not in folders:
        raise ResultError(f"{run} is of campaign {name}, of which nothing is published: name a folder as PUBLISHED.")
    return folders[name]


def _save(found: Comparison, path: Path, published: Path) -> None:
    conditions = [
        {"what": name, "yours": mine, "published": theirs, "same": {*mine} == {*theirs}}
        for name, (mine, theirs) in found.conditions.items()
    ]
    figures = [asdict(one) | {"differs": one.differs} for one in found.figures]
    content = {
        "run": _place(path.parent),
        "published": _place(published),
        "profile": found.profile,
        "campaign": found.campaign,
        "verdict": found.verdict,
        "said": found.said(),
        "counts": found.counts(),
        "conditions": conditions,
        "settings": found.settings,
        "claims": [{"claim": name} | asdict(each) for name, each in found.claims.items()],
        "figures": figures,
    }
    write_json(path, content)


def _place(folder: Path) -> str:
    """A folder's path, from the project's root where it is below it."""
    return str(folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder)


def written(path: Path) -> Comparison:
    """A comparison as it was written.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        figures = [Compared(**{name: row[name] for name in row if name != "differs"}) for row in content["figures"]]
        both = {each["what"]: (each["yours"], each["published"]) for each in content["conditions"]}
        claims = {each.pop("claim"): Answer(**each) for each in content["claims"]}
        return Comparison(content["profile"], content["campaign"], figures, both, content["settings"], claims)
    except (ValueError, LookupError, TypeError) as error:
        raise ResultError(f"{path} is damaged: restore it.") from error


def told(found: Comparison) -> str:
    """A comparison as lines of text: every figure, what differs besides, what lies outside, and the verdict."""
    own = [one for one in found.figures if one.yours is not None]
    blocks = [_columns([CELLS, *(cells(one) for one in own)])]
    unlike = [
        (name, few(mine) or "not recorded", few(theirs) or "not recorded")
        for name, (mine, theirs) in found.unlike().items()
    ]
    if unlike:
        blocks.append(_columns([("what differs", "yours", "published"), *unlike]))
    if found.settings:
        blocks.append("\n".join(["set otherwise:", *found.settings]))
    if found.outside:
        extreme = [f"{'DIFFERS' if one.differs else 'outside'}  {one}" for one in found.outside]
        blocks.append("\n".join(["outside, the most extreme first:", *extreme]))
    notes = Counter(one.note for one in found.figures if one.agrees is None)
    said = [f"{count} figures: {note}." for note, count in notes.items()]
    blocks.append("\n".join([*said, found.said()]))
    lines = "\n\n".join(blocks)
    return "".join(sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}" for sign in lines)


def cells(one: Compared) -> list[str]:
    """A figure that was made as a row of a table."""
    mean = "" if one.published is None else f"{one.published:.3f}"
    expected = "" if one.low is None else f"{one.low:.3f} to {one.high:.3f}"
    said = one.note or ("yes" if one.agrees else "no")
    return [one.model, one.attack, one.metric, f"{one.yours:.3f}", mean, expected, said]


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
