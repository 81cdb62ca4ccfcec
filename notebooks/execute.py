"""Execute one of the notebooks with parameters that are checked before a kernel starts.

    python notebooks/execute.py train runs/mine.ipynb arm=suppressed-example overrides='{defence: {sparse_end: 0.9}}'

Values are YAML. The executed notebook appears under its name only once every cell has run; one that
failed is kept beside it as *.failed.ipynb.
"""

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from pydantic import TypeAdapter, ValidationError

from suppress_privacy.runtime import MODES, choose_device
from suppress_privacy.study.settings import Study

FOLDER = Path(__file__).parent
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "dict": dict, "list[str]": list[str]}


class ParameterError(ValueError):
    """A parameter that is wrong; the message names it, the value, and what is allowed."""


def notebook_path(name):
    """The source of a notebook by its name without ending."""
    path = FOLDER / f"{name}.ipynb"
    if not path.is_file():
        known = ", ".join(sorted(source.stem for source in FOLDER.glob("*.ipynb")))
        raise ParameterError(f"notebook is {name!r}; there are {known}: name one of these.")
    return path


def checked_parameters(name, values):
    """The parameters a notebook will run with: `values` over its own defaults.

    Raises:
        ValueError: an unknown name, a value of the wrong type, or one that the study does not know.
    """
    declared = papermill.inspect_notebook(str(notebook_path(name)))
    parameters = {key: yaml.safe_load(entry["default"]) for key, entry in declared.items()}
    for key, value in values.items():
        if key not in declared:
            raise ParameterError(f"{key} is no parameter of {name}; it has {', '.join(declared)}: correct the name.")
        wanted = declared[key]["inferred_type_name"]
        try:
            parameters[key] = TypeAdapter(TYPES[wanted]).validate_python(value, strict=True)
        except ValidationError as error:
            raise ParameterError(
                f"{key} is {value!r}; it must be of type {wanted} ({declared[key]['help']})."
            ) from error
    study = Study.load()
    study.profile(parameters["profile"])
    if "arm" in parameters:
        study.arm(parameters["profile"], parameters["arm"], parameters.get("overrides"))
    if "attacks" in parameters:
        for attack in parameters["attacks"] or study.profile(parameters["profile"]).attacks:
            chosen = study.attack(parameters["profile"], attack, parameters["attack_overrides"])
            if parameters["victim"] and chosen.settings.get("moment", "end") != "end":
                raise ParameterError(
                    f"attacks has {attack}; of a network that was not trained here only the end is known: leave it out."
                )
        check_victim(parameters, study)
    if parameters.get("seed", 0) < 0:
        raise ParameterError(f"seed is {parameters['seed']}; it must be 0 or more: choose another.")
    if parameters.get("mode", MODES[0]) not in MODES:
        raise ParameterError(
            f"mode is {parameters['mode']!r}; allowed are {', '.join(MODES)}: 'graph' is the fast one."
        )
    choose_device(parameters.get("device", "auto"))
    return parameters


def check_victim(parameters, study):
    """Raise unless the model to attack can be attacked."""
    arm, seed, victim = parameters["arm"], parameters["seed"], parameters["victim"]
    if victim and ":" not in victim and not Path(victim).is_file():
        raise ParameterError(f"victim is {victim!r}; it must be a checkpoint file or module:callable: correct it.")
    if study.arms[arm].network != "lenet5":
        raise ParameterError(f"arm is {arm!r}, whose features at a depth are not defined: attack a LeNet5.")
    builds_on = study.arm(parameters["profile"], arm).earlier()
    if victim and builds_on and any(study.attacks[attack].settings.get("shadows") for attack in parameters["attacks"]):
        raise ParameterError(
            f"arm is {arm!r}, which builds on {builds_on[0]}; shadow networks are trained by its recipe, and a network "
            "from elsewhere has no such base: take an arm trained from scratch, or attacks without shadows."
        )
    if not victim and any((judge.arm, judge.seed) == (arm, seed) for judge in study.evaluators.values()):
        raise ParameterError(
            f"arm {arm} with seed {seed} is an evaluator, which would judge itself: take another seed."
        )


def execute(name, output, values):
    """Run a notebook and put the executed copy at `output`.

    Raises:
        ValueError: see `checked_parameters`; no kernel has started then.
        PapermillExecutionError: a cell failed.
        OSError: `output` cannot be written.
    """
    parameters = checked_parameters(name, values)
    output = Path(output)
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


def end_with(leader):
    """End this process, and so its kernel, soon after the process that leads the study has ended.

    Snakemake that is killed leaves its jobs running; one started anew would run them a second time.
    """

    def watch():
        while True:
            time.sleep(1)
            try:
                os.kill(leader, 0)
            except ProcessLookupError:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments):
    if len(arguments) < 2 or any("=" not in pair for pair in arguments[2:]):
        print("usage: python notebooks/execute.py NOTEBOOK OUTPUT.ipynb [name=value ...]", file=sys.stderr)
        return 2
    name, output, *pairs = arguments
    if "STUDY_PID" in os.environ:
        end_with(int(os.environ["STUDY_PID"]))
    try:
        values = {key: yaml.safe_load(value) for key, value in (pair.split("=", 1) for pair in pairs)}
        execute(name, output, values)
    except PapermillExecutionError as error:
        print(
            f"{name}: cell {error.exec_count} failed: {error.ename}: {' '.join(error.evalue.split())}", file=sys.stderr
        )
        return 1
    except DeadKernelError:
        print(f"{name}: its kernel died, perhaps for want of memory: free some and run again.", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"{name}: {error.filename or output} cannot be written ({error.strerror}): choose another place.",
            file=sys.stderr,
        )
        return 2
    except (ValueError, yaml.YAMLError) as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
