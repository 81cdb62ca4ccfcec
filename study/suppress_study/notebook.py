"""Execute one of the notebooks with parameters that are checked before a kernel starts."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import papermill
import yaml
from papermill.exceptions import PapermillExecutionError

from suppress_privacy.checks import check
from suppress_privacy.runtime import Mode, choose_device
from suppress_study.plan import NONE, Model, Study, Variant
from suppress_study.settings import ROOT, Profile

FOLDER = ROOT / "notebooks"
TYPES = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "dict": dict,
    "list[str]": list[str],
}


class ParameterError(ValueError):
    """A parameter that is wrong; the message names it, the value, and what is allowed."""


def notebook_path(name: str) -> Path:
    """The source of a notebook by its name without ending."""
    path = FOLDER / f"{name}.ipynb"
    if not path.is_file():
        known = ", ".join(sorted(source.stem for source in FOLDER.glob("*.ipynb")))
        raise ParameterError(f"notebook is {name!r}; there are {known}: name one of these.")
    return path


def checked_parameters(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """The parameters a notebook will run with: `values` over its own defaults.

    Raises:
        TypeError, ValueError: an unknown name, a value of the wrong type, or one that the study does not know.
    """
    declared = papermill.inspect_notebook(str(notebook_path(name)))
    parameters = {key: yaml.safe_load(entry["default"]) for key, entry in declared.items()}
    for key, value in values.items():
        if key not in declared:
            raise ParameterError(f"{key} is no parameter of {name}; it has {', '.join(declared)}: correct the name.")
        wanted = declared[key]["inferred_type_name"]
        try:
            check(key, value, TYPES[wanted])
        except TypeError as error:
            help_ = declared[key]["help"]
            raise ParameterError(f"{key} is {value!r}; it must be of type {wanted} ({help_}).") from error
        parameters[key] = value
    _check(parameters, Study.load())
    return parameters


def _check(parameters: dict[str, Any], study: Study) -> None:
    """Raise unless the study knows what the parameters name."""
    profile = study.profile(parameters["profile"])
    if "seed" in parameters and parameters["seed"] < 0:
        raise ParameterError(f"seed is {parameters['seed']}; it must be 0 or more: choose another.")
    if "mode" in parameters:
        check("mode", parameters["mode"], Mode)
        choose_device(parameters["device"])
    if "arm" in parameters and parameters["arm"] != NONE:
        model = study.model(parameters["arm"], parameters["seed"], parameters["swept"])
        study.arm(parameters["profile"], model.arm, parameters.get("overrides"), model.value)
    if "attacks" in parameters:
        variants = chosen_variants(study, parameters)
        _check_victim(parameters, study, profile, variants)


def chosen_variants(study: Study, parameters: dict[str, Any]) -> list[Variant]:
    """The attacks that a notebook's parameters ask for: those named, or a group's, or the profile's own."""
    profile, changes = parameters["profile"], parameters["attack_overrides"]
    model = study.model(parameters["arm"], parameters["seed"], parameters["swept"])
    if not parameters["attacks"] and not changes:
        return list(study.attacking(profile, model, parameters["group"]).variants)
    names = parameters["attacks"] or study.profile(profile).attacks
    variants = [
        each for name in names for each in study.variants(profile, name, at=parameters["at"], overrides=changes)
    ]
    return [each for each in variants if (each.sees == "nothing") == (model.arm == NONE)]


def _check_victim(parameters: dict[str, Any], study: Study, profile: Profile, variants: list[Variant]) -> None:
    """Raise unless the model to attack can be attacked."""
    arm, victim = parameters["arm"], parameters["victim"]
    if not variants:
        raise ParameterError(f"attacks has none that fits arm {arm!r}: name attacks that see something of a network.")
    if arm == NONE:
        return
    if victim and ":" not in victim and not Path(victim).is_file():
        raise ParameterError(f"victim is {victim!r}; it must be a checkpoint file or module:callable: correct it.")
    if study.arms[arm].network != "lenet5":
        raise ParameterError(f"arm is {arm!r}, whose features at a depth are not defined: attack a LeNet5.")
    unknown = next((each for each in variants if each.factors.get("moment", "end") != "end"), None)
    if victim and unknown:
        raise ParameterError(
            f"attacks has {unknown}; of a network that was not trained here only the end is known: leave it out."
        )
    builds_on = study.arm(parameters["profile"], arm).earlier()
    if victim and builds_on and any("shadows" in each.settings for each in variants):
        raise ParameterError(
            f"arm is {arm!r}, which builds on {builds_on[0]}; shadow networks are trained by its recipe, and a network "
            "from elsewhere has no such base: take an arm trained from scratch, or attacks without shadows."
        )
    if not victim and Model(arm, parameters["seed"]) in study.judges().values():
        raise ParameterError(
            f"arm {arm} with seed {parameters['seed']} is an evaluator, which would judge itself: take another seed."
        )


def execute(name: str, output: Path, values: dict[str, Any]) -> None:
    """Run a notebook and put the executed copy at `output`; one that failed is kept beside it as *.failed.ipynb.

    Raises:
        TypeError, ValueError: see `checked_parameters`; no kernel has started then.
        PapermillExecutionError: a cell failed.
        OSError: `output` cannot be written.
    """
    parameters = checked_parameters(name, values)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".part-") as folder:
        part = Path(folder) / output.name
        try:
            papermill.execute_notebook(
                str(notebook_path(name)), str(part), parameters, progress_bar=sys.stderr.isatty()
            )
        except PapermillExecutionError:
            os.replace(part, output.with_suffix(".failed.ipynb"))
            raise
        os.replace(part, output)
