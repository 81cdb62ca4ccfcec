"""Campaigns: the study's arms and attacks on other data and another network, the study's own or a user's.

    title: a residual network on my images
    data: {train: train.npz, test: test.npz, classes: 10, shape: [3, 32, 32]}
    network: my_network:Residual
    depth: blocks.1

A campaign is laid over the content of study.yaml; what comes out is a study like any other, with one profile.
"""

import ast
import importlib.util
import json
import re
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from suppress_privacy.files import atomically
from suppress_study.reading import SettingsError, merged, read_yaml, validated
from suppress_study.settings import Campaign, OwnData

NAME = "[a-z][a-z0-9-]*"
LEADING_TO = ("start", "cut", "accuracy_of")  # how an arm names another
OF_OWN_DATA = ("documented", "band", "sweep", "as_accurate_as")  # what of an arm is true of the study's own campaign
FILE = "campaign.json"  # in a folder of results: of which campaign they are


def find(name: str, known: Mapping[str, Campaign], taken: Collection[str] = ()) -> tuple[str, Campaign, Path | None]:
    """A campaign by its name in study.yaml, or by the path of a file that has one.

    Args:
        name: or path.
        known: the study's.
        taken: names that no file may have.

    Returns:
        its name, itself with absolute paths, and the folder of its file, from which modules are imported.

    Raises:
        SettingsError: there is neither, or something in the file is wrong.
    """
    if name in known:
        return name, known[name], None
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        names = ", ".join(known)
        raise SettingsError(f"CAMPAIGN is {name!r}; it must be a YAML file, or one of {names}: correct it.")
    content, called = read_yaml(path), path.stem.lower().replace("_", "-")
    if not isinstance(content, dict):
        raise SettingsError(f"{path.name} is no mapping of names to values: see CONTRIBUTING.md for an example.")
    campaign = validated(Campaign, content, path.name)
    if isinstance(own := campaign.data, OwnData):
        places = {part: str(path.parent / Path(getattr(own, part)).expanduser()) for part in ("train", "test")}
        campaign = campaign.model_copy(update={"data": own.model_copy(update=places)})
    if called in {*known, *taken} or not re.fullmatch(NAME, called):
        raise SettingsError(f"{path.name} would be called {called!r}, which is no name or the study's: rename it.")
    return called, campaign, path.parent


def keep(results: Path, name: str, campaign: Campaign, folder: Path | None) -> None:
    """Write into a folder of results of which campaign they are."""
    content = {"name": name, "folder": str(folder) if folder else None, "campaign": campaign.model_dump(mode="json")}
    if content != kept(results):
        with atomically(results / FILE) as part:
            part.write_text(json.dumps(content, indent=1), "utf-8")


def kept(results: Path) -> dict[str, Any] | None:
    """What `keep` wrote, or None where the results are of the study's own campaign.

    Raises:
        SettingsError: it is something else.
    """
    path = results / FILE
    content = read_yaml(path) if path.is_file() else None  # JSON is YAML
    if content is not None:
        understood(content)
    return content


def profile_of(results: Path | None) -> str:
    """The profile where none is asked for: that of the campaign that a folder of results is of."""
    content = kept(results) if results else None
    return str(content["name"]) if content else "quick"


def require_free(results: Path, name: str, folder: Path | None) -> None:
    """Raise if a folder of results has runs of another campaign, or of a file of the same name somewhere else.

    Raises:
        SettingsError: it has.
    """
    other, made = kept(results), [*(results / "runs").glob("[!.]*.npz"), *results.glob("runs.jsonl")]
    if (other["name"], other["folder"]) != (name, folder and str(folder)) if other else made:
        whose = (
            f"campaign {other['name']} of {other['folder'] or 'study.yaml'}" if other else "the study's own campaign"
        )
        raise SettingsError(f"{results} has runs of {whose}: name another folder as RESULTS.")


def understood(content: Any) -> tuple[str, Campaign]:
    """Name and settings of what `keep` wrote.

    Raises:
        SettingsError: it is something else.
    """
    whole = isinstance(content, dict) and {*content} == {"name", "folder", "campaign"}
    if not whole or not isinstance(content["name"], str) or not re.fullmatch(NAME, content["name"]):
        raise SettingsError(f"{FILE} is not what the study writes: name another folder as RESULTS.")
    return str(content["name"]), validated(Campaign, content["campaign"], FILE)


def modules(results: Path) -> list[Path]:
    """Let the user's own modules be imported, and return their networks' files, with those these import from beside.

    Only what trains or attacks calls it: from results that are merely shown nothing is imported. Without results of
    such a campaign, or with networks of the study's, there are none.

    Raises:
        SettingsError: another module of that name comes before the user's.
    """
    content = kept(results)
    if not content or not content["folder"]:
        return []
    folder, campaign = Path(content["folder"]), content["campaign"]
    if content["folder"] not in sys.path:
        sys.path.append(content["folder"])
    networks = [each.get("network") for each in (campaign, *campaign["overrides"].values())]
    found: set[Path] = set()
    names = (str(network).partition(":")[0].split(".") for network in networks if ":" in str(network))
    for path in filter(Path.is_file, (folder.joinpath(*name).with_suffix(".py") for name in names)):
        first = importlib.util.find_spec(path.relative_to(folder).parts[0].removesuffix(".py"))
        places = [first.origin, *(first.submodule_search_locations or ())] if first else []
        if not any(Path(place).is_relative_to(folder) for place in places if place):
            raise SettingsError(f"network is of {path}, but Python's own path has {places[0]} before: rename yours.")
        _read_on(path, folder, found)
    return sorted(found)


def _read_on(path: Path, folder: Path, found: set[Path]) -> None:
    """Add a module of a folder to those found, and all that it imports from there; they are read and not imported."""
    if path in found or not path.is_file():
        return
    found.add(path)
    parts: list[ast.AST] = []
    with suppress(SyntaxError, ValueError):  # told when the network is made
        parts += ast.walk(ast.parse(path.read_bytes()))
    names = [alias.name.split(".") for part in parts if isinstance(part, ast.Import) for alias in part.names]
    for part in (part for part in parts if isinstance(part, ast.ImportFrom)):
        beside = path.relative_to(folder).parts[: -part.level] if part.level else ()
        base = [*beside, *(part.module or "").split(".")] if part.module else [*beside]
        names += [[*base, alias.name] for alias in part.names]  # a module, or something in one
    for place in (folder.joinpath(*name[:count]) for name in names for count in range(1, len(name) + 1)):
        _read_on(place.with_suffix(".py"), folder, found)
        _read_on(place / "__init__.py", folder, found)


def laid_over(study: Mapping[str, Any], name: str, campaign: Campaign) -> dict[str, Any]:
    """The content of study.yaml with a campaign in place of its own.

    Raises:
        SettingsError: it names an arm or attack that the study has not.
    """
    depths, roles = (study["roles"]["depth"], campaign.depth), study["roles"]
    of_arms, of_attacks = [*campaign.arms, *campaign.overrides], [*campaign.attacks, *campaign.attack_overrides]
    own_arms = [arm for arm, own in study["arms"].items() if not own.get("package")]
    for what, asked, known in (("arms", of_arms, own_arms), ("attacks", of_attacks, study["attacks"])):
        if unknown := next((each for each in asked if each not in known), None):
            allowed = ", ".join(known)
            raise SettingsError(f"campaign {name}: {what} has {unknown!r}; allowed are {allowed}: correct it.")
    needed = _needed(study, campaign)
    if unused := next((arm for arm in campaign.overrides if arm not in needed), None):
        raise SettingsError(f"campaign {name}: overrides has {unused}, which it does not make: add it to arms.")
    run = {*campaign.attacks, *(each for group in campaign.further.values() for each in group.attacks)}
    if unused := next((each for each in campaign.attack_overrides if each not in run), None):
        raise SettingsError(
            f"campaign {name}: attack_overrides has {unused}, which it does not run: add it to attacks."
        )
    if campaign.near and "near" in campaign.further:
        raise SettingsError(f"campaign {name}: further has a group near, which the setting near makes: rename it.")
    arms = {arm: _arm(arm, study["arms"], campaign) for arm in needed}
    further = {each: group.model_dump() for each, group in campaign.further.items()}
    if campaign.near:
        seed, ordinary = campaign.seeds[0], roles["ordinary"]
        further["near"] = {"attacks": ["tuned"], "at": [campaign.near], "arms": [ordinary], "seeds": [seed]}
    return {
        "campaign": name,
        "roles": roles | {"depth": campaign.depth},
        "arms": arms,
        "evaluators": study["evaluators"],
        "attacks": {each: _attack(own, *depths) for each, own in study["attacks"].items()},
        "profiles": {
            name: {
                "data": campaign.model_dump()["data"],
                "arms": dict.fromkeys(campaign.arms, campaign.seeds),
                "attacks": campaign.attacks,
                "attack_overrides": campaign.attack_overrides,
                "further": further,
                "targets": campaign.targets.model_dump(),
                "matched": campaign.matched,
            }
        },
    }


def _needed(study: Mapping[str, Any], campaign: Campaign) -> list[str]:
    """A campaign's arms, those that have a role or judge, and what they build on; in the study's order."""
    roles = [arm for role, arm in study["roles"].items() if role != "depth"]
    wanted = {*campaign.arms, *roles, *(judge["arm"] for judge in study["evaluators"].values())}
    for arm in [*wanted]:
        wanted |= {study["arms"][arm][how] for how in LEADING_TO if how in study["arms"][arm]}
    return [arm for arm in study["arms"] if arm in wanted]


def _arm(name: str, study: Mapping[str, Any], campaign: Campaign) -> dict[str, Any]:
    """An arm of the study as a campaign has it, without what is true of the study's own data alone.

    That is its band, documented figures, and whether it is as accurate as another arm: one that trains on at a rate
    that was chosen for this trains on at the other arm's.
    """
    arm = deepcopy({part: value for part, value in study[name].items() if part not in OF_OWN_DATA})
    if "start" in arm and (aim := study[name].get("as_accurate_as")):
        arm["optimizer"] = study[aim]["optimizer"]
    arm.setdefault("network", campaign.network)
    channels, classes = campaign.shape()
    arm |= {"channels": channels, "classes": classes}
    if arm["network"] != "lenet5":
        if "units" in arm:
            raise SettingsError(f"arms names {name}, which has fewer units of LeNet5: leave it out.")
        arm = {part: value for part, value in arm.items() if part not in ("units", "activation")}
    defence = arm.get("defence", {})
    for setting in ("layers", "depth"):
        if setting in defence and (value := getattr(campaign, setting)) is not None:
            defence[setting] = value
    return merged(merged(arm, campaign.training if "optimizer" in arm else {}), campaign.overrides.get(name, {}))


def _attack(own: Mapping[str, Any], depth: str, here: str) -> dict[str, Any]:
    """An attack as a campaign has it, looking where features leave the user's device."""
    sees = dict(own.get("sees", {}))
    for what in ("features", "gallery"):
        if sees.get(what) == [depth]:
            sees[what] = [here]
    return {**own, **({"sees": sees} if sees else {})}
