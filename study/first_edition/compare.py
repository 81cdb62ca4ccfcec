"""The first edition's summary beside today's, figure by figure: what differs, and of which kind.

    python study/first_edition/compare.py results/full/summary.json [OLD_SUMMARY.json]

The old one is taken from the history if it is not given. What is called otherwise today is looked up in renamed.json.
Five kinds of difference are expected and printed; any other is an error.
"""

import json
import subprocess
import sys
from pathlib import Path

COMMIT = "b50d968"  # the last with the first edition's records
RENAMED = json.loads((Path(__file__).parent / "renamed.json").read_text("utf-8"))
CLOSE = 1e-6
ONCE, SUPERSEDED, STRONGEST, FAILED, TIED, OTHER = (
    "copies of an image that is the same for every model became one",
    "an arm that was another one under a second name left the summary",
    "the two old rules of the strongest attack disagreed",
    "a claim that failed is refuted or not shown today, and is told by the comparison that says so",
    "tied scores, which moved together, are split evenly in a true positive rate",
    "other",
)


class Comparing:
    """Counts figures that agree, and collects those that differ by kind."""

    def __init__(self, old, new):
        self.old, self.new = old, new
        self.equal, self.largest = 0, 0.0
        self.different = {kind: [] for kind in (ONCE, SUPERSEDED, STRONGEST, FAILED, TIED, OTHER)}
        self.tables = {
            table: {self.key(row, table == "strongest"): row for row in new[table]}
            for table in ("estimates", "differences", "strongest")
        }
        self.arms = {json.dumps(arm["factors"], sort_keys=True): arm for arm in new["arms"]}

    @staticmethod
    def key(row, strongest=False):
        apart = {"mean", "low", "high", "n", "seeds", "by_seed", *(("attack", "depth") if strongest else ())}
        return json.dumps({name: value for name, value in row.items() if name not in apart}, sort_keys=True)

    def same(self, place, old, new, kind=OTHER):
        """Compare two values, whatever they are made of."""
        if isinstance(old, dict) and isinstance(new, dict):
            for name in [*old, *(name for name in new if name not in old)]:
                self.same(f"{place}.{name}", old.get(name), new.get(name), kind)
        elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            for number, pair in enumerate(zip(old, new, strict=True)):
                self.same(f"{place}[{number}]", *pair, kind)
        elif isinstance(old, int | float) and isinstance(new, int | float) and not isinstance(old, bool):
            self.largest = max(self.largest, abs(old - new)) if abs(old - new) <= CLOSE else self.largest
            self.count(place, old, new, abs(old - new) <= CLOSE, kind)
        else:
            self.count(place, old, new, old == new, kind)

    def count(self, place, old, new, equal, kind=OTHER):
        self.equal += equal
        if not equal:
            self.different[kind].append(f"{place}: {old} -> {new}")

    def arm(self, name):
        return RENAMED["arms"].get(name, {"arm": name})

    def table(self, name, old_name):
        """Rows of attacks: old[attack][arm][metric] -> a row by its factors."""
        found = set()
        for attack, by_arm in self.old[old_name].items():
            for arm, metrics in by_arm.items():
                for metric, estimate in metrics.items():
                    place = f"{old_name}.{attack}.{arm}.{metric}"
                    if arm in RENAMED["superseded"]:
                        self.different[SUPERSEDED].append(place)
                        continue
                    once = attack in RENAMED["once"]
                    factors = {"arm": "none"} if once else self.arm(arm)
                    factors = factors | RENAMED["attacks"][attack] | RENAMED["metrics"].get(metric, {"metric": metric})
                    row = self.tables[name].get(self.key(factors))
                    if once and (arm, name) != ("baseline", "estimates"):
                        self.different[ONCE].append(place)
                        continue
                    found.add(self.key(factors))
                    seeds = self.old["seeds_of"][attack][arm]
                    if name == "differences":
                        seeds = [seed for seed in seeds if seed in self.old["seeds_of"][attack]["baseline"]]
                    if once:  # as many values as one run has, and intervals of one run
                        self.same(f"{place}.mean", estimate["mean"], row and row["mean"])
                        self.different[ONCE].append(f"{place}: interval and n are now those of one run")
                        continue
                    tied = metric == "tpr_at_1pct_fpr" and arm in RENAMED["tied"]
                    for key, value in (estimate | {"seeds": seeds}).items():
                        kind = TIED if tied and key in ("mean", "low", "high") else OTHER
                        self.same(f"{place}.{key}", value, row and row[key], kind)
        for key in self.tables[name].keys() - found:
            self.different[OTHER].append(f"{name} {key} is new")

    def models(self):
        for name, old in self.old["arms"].items():
            if name in RENAMED["superseded"]:
                self.different[SUPERSEDED].append(f"arms.{name}, mechanism.{name}")
                continue
            new = self.arms[json.dumps(self.arm(name), sort_keys=True)]
            self.same(f"arms.{name}", old, {key: new[key] for key in old})
            self.same(f"mechanism.{name}", self.old["mechanism"][name], new["mechanism"])
            self.same(f"documented.arms.{name}", self.old["documented"]["arms"].get(name), new["documented"])
            for metric, attack in self.old["strongest"][name].items():
                row = self.tables["strongest"][self.key({**self.arm(name), "metric": metric}, True)]
                attack = RENAMED["attacks"][attack]
                self.same(f"strongest.{name}.{metric}", attack, {key: row[key] for key in attack}, STRONGEST)

    def gates(self):
        new = {(gate["name"], gate["about"]): gate for gate in self.new["gates"]}
        for old in self.old["gates"]:
            kind, _, about = old["name"].partition("-")
            if about in RENAMED["superseded"]:
                self.different[SUPERSEDED].append(f"gates.{old['name']}")
                continue
            factors = self.arm(about)
            swept = factors.get("sparse_end") if about != factors["arm"] else None
            about = factors["arm"] + (f"@{swept:g}" if swept else "")
            found = new.pop((old["name"], ""), None) or new.pop((kind, about), None)
            self.same(f"gates.{old['name']}", old, found and {key: found[key] for key in old} | {"name": old["name"]})
        for left in new:
            self.different[OTHER].append(f"gate {left} is new")

    def verdicts(self):
        """Figures of every comparison; texts name attacks otherwise, so of these what matters is compared."""
        for claim, old in self.old["verdicts"].items():
            new, words = self.new["verdicts"][claim], RENAMED["verdicts"].get(old["verdict"])
            if words:
                self.failed(f"verdicts.{claim}", old, new, words)
            else:
                figures = ("verdict", "effect", "low", "high", "p")
                self.same(f"verdicts.{claim}", {k: old[k] for k in figures}, {k: new[k] for k in figures})
                self.same(f"verdicts.{claim}.reason", *(one["reason"].partition(":")[0] for one in (old, new)))
            for number, pair in enumerate(zip(old["comparisons"], new["comparisons"], strict=True)):
                own = ("effect", "low", "high", "p", "supports", "wanted", "distance", "band")
                place = f"verdicts.{claim}.comparisons[{number}]"
                self.same(place, *({key: one[key] for key in own} for one in pair))
                self.same(f"{place}.runs", len(pair[0]["records"]), len(pair[1]["runs"]))

    def failed(self, place, old, new, words):
        """What a claim that failed is today, by figures of its own comparisons; a refuted one has another p."""
        figures = ("effect", "low", "high")
        own = any(all(one[name] == new[name] for name in figures) for one in new["comparisons"])
        self.same(f"{place}.verdict", old["verdict"], new["verdict"], FAILED if new["verdict"] in words else OTHER)
        for name in figures:
            self.same(f"{place}.{name}", old[name], new[name], FAILED if own else OTHER)
        self.same(f"{place}.p", old["p"], new["p"], FAILED if new["verdict"] == "refuted" else OTHER)

    def rest(self):
        for name in ("profile", "data", "notice", "seeds", "missing", "images"):
            self.same(name, self.old[name], self.new[name])
        self.same(
            "evaluator",
            *(
                {RENAMED["evaluators"].get(k, k): v for k, v in each.items()}
                for each in (self.old["evaluator"], self.new["evaluators"])
            ),
        )
        self.same(
            "documented", {k: v for k, v in self.old["documented"].items() if k != "arms"}, self.new["documented"]
        )
        gone = set(self.old["commits"]) - set(self.new["commits"])
        self.different[ONCE] += [f"commits: {commit} made only runs that left the summary" for commit in sorted(gone)]
        self.different[OTHER] += [
            f"commit {each} is new" for each in set(self.new["commits"]) - set(self.old["commits"])
        ]
        if self.old["uncommitted"] != self.new["uncommitted"]:
            self.different[ONCE].append(
                f"uncommitted: {self.old['uncommitted']} -> {self.new['uncommitted']}, copies being counted once"
            )

    def all(self):
        self.table("estimates", "attacks")
        self.table("differences", "differences")
        for part in (self.models, self.gates, self.verdicts, self.rest):
            part()
        return self


def main(new, old=None):
    if old is None:
        command = ["git", "show", f"{COMMIT}:results/full/summary.json"]
        content = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    else:
        content = Path(old).read_text("utf-8")
    found = Comparing(json.loads(content), json.loads(Path(new).read_text("utf-8"))).all()
    print(
        f"{found.equal:,} values are equal within {CLOSE:g}; the largest difference among them is {found.largest:.2g}."
    )
    for kind, places in found.different.items():
        print(f"\n{len(places)} differ because {kind}:" if kind != OTHER else f"\n{len(places)} differ otherwise:")
        for place in places:
            print(f"  {place}")
    return 1 if found.different[OTHER] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
