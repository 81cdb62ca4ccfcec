"""The first edition's records as tables; they are read as they were committed, and none is made again.

    git archive b50d968 results/full | tar -x -C FOLDER
    python study/first_edition/convert.py FOLDER/results/full results/full

Every record's settings are compared with what study.yaml asks for today, so that none passes for another's. What is
called otherwise today is in renamed.json.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from suppress_privacy import load_mnist
from suppress_privacy.defences.layers import PUBLISHED_LAYERS
from suppress_study.jobs import NONE, Model
from suppress_study.pictures import Pictures, show
from suppress_study.plan import Study
from suppress_study.results import JUDGED, Results, joined, rows_of
from suppress_study.targets import choose_targets

RENAMED = json.loads((Path(__file__).parent / "renamed.json").read_text("utf-8"))
LAYER = {"name": "layer_name", "noise": "is_add_noise", "lower_clip": "is_lower_clip", "min_num": "min_num"}


def layers_of(old):
    """The name of the published configuration that lists these layers."""
    for name, layers in PUBLISHED_LAYERS.items():
        if isinstance(old, dict) and old == {layer["layer_name"]: layer["min_num"] for layer in layers}:
            return name
        if isinstance(old, list) and all(
            {new: own[key] for key, new in LAYER.items()} == {new: layer[new] for new in LAYER.values()}
            for own, layer in zip(old, layers, strict=True)
        ):
            return name
    raise ValueError(f"no published configuration has the layers {old}")


def recipe(old):
    """A training's settings as they are written today."""
    new = {key: value for key, value in old.items() if key != "stop"} | {"cut": None, "accuracy_of": None}
    if old["stop"]:
        new |= {"cut": old["stop"]["like"], "accuracy_of": old["stop"]["accuracy_of"]}
    defence = dict(old["defence"] or {})
    if "accuracy_of" in defence:
        new["accuracy_of"] = defence.pop("accuracy_of")
    for key in ("layers", "min_num"):
        if key in defence:
            defence["layers"] = layers_of(defence.pop(key))
    return new | {"defence": defence or None}


def attack_settings(old):
    """An attack's settings as they are written today, without those that say what it sees."""
    settings = {key: old["settings"][key] for key in old["settings"]}
    for of_view in ("moment", "images_per_class", "candidates"):
        settings.pop(of_view, None)
    if "loss_weights" in settings:
        weights = settings.pop("loss_weights")
        settings |= dict(zip(("feature_weight", "smoothness_weight", "norm_weight"), weights, strict=True))
    return settings


def require_equal(name, one, other):
    if json.loads(json.dumps(one)) != json.loads(json.dumps(other)):
        raise ValueError(f"{name}: settings were {one}, and today are {other}")


class Converter:
    """From a record and its arrays to a run and its arrays."""

    def __init__(self, study):
        self.study = study
        jobs = study.jobs("full")
        self.wanted = {run.name: run for job in jobs for run in job.runs}
        self.by_attack = {
            (job.model, json.dumps(variant.columns(), sort_keys=True)): run
            for job in jobs
            for variant, run in zip(job.variants, job.runs, strict=False)
        }
        self.targets = choose_targets(load_mnist(), study.profile("full").targets)
        places = zip(self.targets.in_training.tolist(), self.targets.index.tolist(), strict=True)
        self.position = {place: number for number, place in enumerate(places)}

    def model(self, record):
        arm, seed = record["parameters"]["arm"], record["parameters"]["seed"]
        arm = RENAMED["superseded"].get(arm, arm)
        factors = RENAMED["arms"].get(arm, {"arm": arm})
        value = factors.get("sparse_end")
        return Model(factors["arm"], seed, None if arm == factors["arm"] else value)

    def __call__(self, record, arrays):
        model, parameters = self.model(record), record["parameters"]
        superseded = parameters["arm"] in RENAMED["superseded"]
        attack = RENAMED["attacks"].get(parameters.get("attack"), {})
        if parameters.get("attack") in RENAMED["once"]:
            model = Model(NONE, 0)
        if record["kind"] == "attack":
            wanted = self.by_attack[model, json.dumps(attack, sort_keys=True)]
            require_equal(record["name"], attack_settings(record["settings"]), wanted.settings["settings"])
            own = record["settings"]["settings"]
            of_view = {key: own[key] for key in ("images_per_class", "candidates") if key in own}
            require_equal(record["name"], of_view, {key: wanted.settings[key] for key in of_view})
        else:
            wanted = self.wanted[f"{record['kind']}-{model}"]
            require_equal(record["name"], recipe(record["settings"]), wanted.settings)
        networks = record.get("networks", {})
        run = replace(
            wanted,
            name=record["name"] if superseded else wanted.name,
            commit=record["commit"],
            environment={key: record[key] for key in ("device", "versions", "machine", "data")},
            times=record["times"],
            peak_memory_bytes=record["peak_memory_bytes"],
            results=record["results"] if record["kind"] == "train" else {},
            asked={"mode": parameters["mode"]},
            checkpoint=record.get("checkpoint", {}),
            networks=record.get("built_on", {})
            | ({"victim": networks["victim"]} if networks and model.arm != NONE else {})
            | networks.get("evaluators", {}),
            chosen=record.get("chosen", {}),
            superseded=wanted.name if superseded else "",
        )
        if record["kind"] == "mechanism":
            run.results = record["results"] | {name: values.tolist() for name, values in arrays.items()}
            return run, {}
        return run, self.arrays(arrays) if arrays else {}

    def arrays(self, old):
        """Arrays under today's names; positions are those among all targets."""
        if "score" in old:
            return {"candidate": np.arange(len(old["score"]))} | old
        places = list(zip(old["in_training"].tolist(), old["index"].tolist(), strict=True))
        image = np.array([self.position[place] for place in places])
        new = {"image": image}
        for name, values in old.items():
            metric = RENAMED["metrics"].get(name)
            new[f"{JUDGED}/{metric['evaluator']}/{metric['metric']}" if metric else name] = values
        new["pictured"] = image[old["pictured"]]
        originals = self.targets.images[new["pictured"]]
        return new | {"original": np.rint(originals * 255).astype(np.uint8)}


def main(old, new):
    convert = Converter(Study.load())
    runs, tables, pictures, once = {}, {"image": [], "candidate": []}, Pictures(), {}
    for path in sorted((old / "records").glob("*.json")):
        record = json.loads(path.read_text("utf-8"))
        with_arrays = path.with_suffix(".npz")
        arrays = dict(np.load(with_arrays)) if with_arrays.exists() else {}
        run, arrays = convert(record, arrays)
        attack = record["parameters"].get("attack")
        if attack in RENAMED["once"]:
            kept = {
                name: values
                for name, values in arrays.items()
                if name not in ("pictured", "reconstruction", "original")
            }
            first = once.setdefault(attack, kept)
            if any(not np.array_equal(values, first[name]) for name, values in kept.items()):
                raise ValueError(f"{record['name']} differs from others of {attack}")
            if run.name in runs and (record["parameters"]["arm"], record["parameters"]["seed"]) != ("baseline", 0):
                continue
            tables["image"] = [table for table in tables["image"] if table.run.iloc[0] != run.name]
        runs[run.name] = run
        if run.superseded or not arrays:
            continue
        for unit, collected in tables.items():
            if unit in arrays:
                collected.append(rows_of(run, arrays))
        show(pictures, run.name, arrays)
    ordered = [name for name in convert.wanted if name in runs] + sorted(name for name in runs if runs[name].superseded)
    results = Results({name: runs[name] for name in ordered}, *(joined(tables[unit]) for unit in tables), pictures)
    results.publish(new)
    print(f"{len(runs)} runs, of which {sum(bool(run.superseded) for run in runs.values())} are superseded")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
