"""Notebooks and their parameters: checked before a kernel starts, and again where one runs by itself."""

import ast
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import papermill
import yaml
from jupyter_client import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError

from suppress_privacy.checks import Seed, check
from suppress_privacy.files import atomically
from suppress_privacy.runtime import Mode, choose_device
from suppress_study import starter
from suppress_study.jobs import NONE, Job, Model, Variant
from suppress_study.plan import Study
from suppress_study.reading import SettingsError
from suppress_study.settings import ROOT, Value

FOLDER = ROOT / "notebooks"
STARTS = 3  # of a kernel that dies before it answers
UNANSWERED = "Kernel died before replying"  # as its client says it
INJECTED = "# Parameters\n"  # how papermill begins the cell of what it was given
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "dict": dict, "list[str]": list[str]}


class Kernel(AsyncKernelManager):
    """A kernel that a study's starter forks, where there is one."""

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        return [sys.executable, "-S", starter.__file__, "--kernel", "-f", self.connection_file]


def notebook_path(name: str) -> Path:
    """The source of a notebook by its name without ending."""
    path = FOLDER / f"{name}.ipynb"
    if not path.is_file():
        known = ", ".join(sorted(source.stem for source in FOLDER.glob("*.ipynb")))
        raise SettingsError(f"notebook is {name!r}; there are {known}: name one of these.")
    return path


def literal(path: Path) -> str:
    """A path for papermill, to which braces name parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def checked_parameters(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """The parameters a notebook will run with: `values` over its own defaults.

    Raises:
        TypeError, ValueError: an unknown name, a value of the wrong type, or one that the study does not know.
    """
    declared = papermill.inspect_notebook(literal(notebook_path(name)))
    parameters = {key: yaml.safe_load(entry["default"]) for key, entry in declared.items()}
    for key, value in values.items():
        if key not in declared:
            raise SettingsError(f"{key} is no parameter of {name}; it has {', '.join(declared)}: correct the name.")
        wanted = declared[key]["inferred_type_name"]
        try:
            check(key, value, TYPES[wanted])
        except TypeError as error:
            wanted = f"{wanted} ({declared[key]['help']})"
            raise SettingsError(f"{key} is {value!r}; it must be of type {wanted}.") from error
        parameters[key] = value
    _check(parameters, Study.today(ROOT / parameters["results"]))
    return parameters


def parameters_of(name: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a notebook that is running, checked, with whatever names papermill was given in its place.

    Args:
        name: the notebook's.
        variables: its globals().

    Raises:
        TypeError, ValueError: as `checked_parameters`; or the cell of parameters has not been run.
    """
    declared = papermill.inspect_notebook(literal(notebook_path(name)))
    if missing := next((key for key in declared if key not in variables), None):
        raise SettingsError(f"{missing} has no value yet: run the cell of parameters first.")
    # Papermill puts what it is given into a cell of its own; the last one counts, as variables do.
    injected = [cell for cell in variables.get("In", ()) if cell.startswith(INJECTED)]
    assigned = [node.id for node in ast.walk(ast.parse("".join(injected[-1:]))) if isinstance(node, ast.Name)]
    return checked_parameters(name, {key: variables.get(key) for key in [*declared, *assigned]})


def _check(parameters: dict[str, Any], study: Study) -> None:
    """Raise unless the study knows what the parameters name."""
    if "profile" not in parameters:
        return
    study.profile(parameters["profile"])
    check("seed", parameters.get("seed", 0), Seed)
    check("mode", parameters["mode"], Mode)
    choose_device(parameters["device"])
    model = study.model(parameters["arm"], parameters.get("seed", 0), parameters["swept"])
    if model.arm != NONE:
        study.arm(parameters["profile"], model.arm, parameters.get("overrides"), model.value)
    if "game" in parameters:
        study.playing(parameters["profile"], parameters["game"], model)
    if "attacks" in parameters:
        _check_victim(parameters, study, chosen(study, parameters, model).variants)


def chosen(study: Study, parameters: dict[str, Any], model: Model, factors: Mapping[str, Value] | None = None) -> Job:
    """The attacks that a notebook's parameters ask for: those named, or a group's, or the profile's own."""
    own = {"attacks": parameters["attacks"], "at": parameters["at"], "overrides": parameters["attack_overrides"]}
    return study.attacking(parameters["profile"], model, parameters["group"], factors=factors, **own)


def _check_victim(parameters: dict[str, Any], study: Study, variants: Sequence[Variant]) -> None:
    """Raise unless the model to attack can be attacked."""
    arm, seed, victim = parameters["arm"], parameters["seed"], parameters["victim"]
    if not variants:
        raise SettingsError(f"attacks has none that fits arm {arm!r}: name attacks that see something of a network.")
    if arm == NONE:
        return
    if not victim:
        if Model(arm, seed) in study.judges().values():
            raise SettingsError(f"arm {arm} with seed {seed} is an evaluator, which would judge itself: take another.")
        return
    if ":" not in victim and not os.path.isfile(ROOT / victim):  # which no name is too long for
        raise SettingsError(f"victim is {victim!r}; it must be a checkpoint file or module:callable: correct it.")
    if unknown := next((each for each in variants if each.factors.get("moment", "end") != "end"), None):
        raise SettingsError(f"attacks has {unknown}; of a network from elsewhere only the end is known: leave it out.")
    builds_on = study.arm(parameters["profile"], arm).earlier()
    if builds_on and any("shadows" in each.settings for each in variants):
        shadows = "shadow networks are trained by its recipe, and yours has no such base"
        remedy = "take an arm trained from scratch, or attacks without shadows"
        raise SettingsError(f"arm is {arm!r}, which builds on {builds_on[0]}; {shadows}: {remedy}.")


def _was_executed(path: Path) -> bool:
    """Whether a file is a notebook that papermill wrote, which may be replaced."""
    try:
        return "papermill" in json.loads(path.read_text("utf-8"))["metadata"]
    except (OSError, ValueError, LookupError, TypeError):
        return False


def execute(name: str, output: Path, values: dict[str, Any]) -> None:
    """Run a notebook and put the executed copy at `output`; one that failed is kept beside it as *.failed.ipynb.

    Raises:
        TypeError, ValueError: see `checked_parameters`; or `output` is there and is no executed notebook. No kernel
            has started then.
        PapermillExecutionError: a cell failed.
        OSError: `output` cannot be written.
    """
    parameters, shown = checked_parameters(name, values), sys.stderr.isatty()
    if output.exists() and not _was_executed(output):
        raise SettingsError(
            f"output is {str(output)!r}, which is there and is no executed notebook: name another file."
        )
    with atomically(output) as part:
        try:
            run(literal(notebook_path(name)), literal(part), parameters, shown=shown)
        except PapermillExecutionError:
            os.replace(part, output.with_suffix(".failed.ipynb"))
            raise


def run(source: str, target: str, parameters: dict[str, Any], *, shown: bool = False) -> None:
    """Have papermill run a notebook, which starts its kernel again where that dies before any cell is run.

    A kernel's ports are chosen before it takes them, and another kernel of the same moment may have done so by then.

    Raises:
        PapermillExecutionError: a cell failed.
        RuntimeError: no kernel has answered.
    """
    for left in reversed(range(STARTS)):
        try:
            papermill.execute_notebook(source, target, parameters, progress_bar=shown, kernel_manager_class=Kernel)
            return
        except RuntimeError as error:
            if UNANSWERED not in str(error) or not left:
                raise
