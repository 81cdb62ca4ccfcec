"""Small changes to the code, nearly all of which its tests must notice: python tests/mutants.py [module ...]

Each mutant is a module with one change: another comparison, operation, number, condition, function or returned value,
or a statement left out. It is killed where a test of its module fails, or takes far too long. A survivor is an error
unless mutants.txt has it, with the reason why no test can tell it from the code; so is one of that list that is killed
or gone, and a module of which less than `LEAST` are killed. Of the modules in `SAMPLED` a seeded sample is reported.

MindSpore is loaded once, and every mutant forked from there. Published tools were tried: mutmut leaves out constants,
fields and whatever has a decorator, cosmic-ray starts Python anew for each mutant.
"""

import argparse
import ast
import gc
import importlib
import importlib.util
import json
import linecache
import os
import random
import resource
import sys
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXPLAINED = Path(__file__).with_suffix(".txt")
LEAST = 0.9
WHOLE = ("lib/suppress_privacy/evaluation", "study/suppress_study/claims.py")
SAMPLED, SAMPLE = "lib/suppress_privacy/defences", 100
# A module's tests stand in the file of its name and in its folder's properties; of these in others.
ELSEWHERE = {
    "layers": ("defences/test_suppress.py", "defences/test_dpsgd.py"),
    "masks": ("defences/test_suppress.py",),
    "verdict": ("study/test_claims.py",),
}
PATIENCE, AT_LEAST = 4, 5  # so many times what a test takes of the processor, and these seconds: it has noticed

COMPARISONS = {
    **{ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt)},
    **{ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,)},
    **{ast.In: (ast.NotIn,), ast.NotIn: (ast.In,)},
}
OPERATIONS = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div},
    **{ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or},
    **{ast.Or: ast.And},
}
FUNCTIONS = {"min": "max", "any": "all", "minimum": "maximum", "left": "right"}
FUNCTIONS |= {other: one for one, other in FUNCTIONS.items()}
CONDITIONS = ((ast.If, "test"), (ast.IfExp, "test"), (ast.While, "test"), (ast.comprehension, "ifs"))
LEAVES = (ast.Constant, ast.Name, ast.keyword, ast.Slice, ast.UnaryOp)  # shown with what is around them


def like(node, **fields):
    return type(node)(**{name: getattr(node, name, None) for name in node._fields} | fields)


def changes(node, parent, field, in_annotation):
    """What may stand in a node's place; of an annotation only numbers are changed."""
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case _ if in_annotation:
            return
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                for other in COMPARISONS[type(op)]:
                    yield like(node, ops=[*ops[:place], other(), *ops[place + 1 :]])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in OPERATIONS:
            yield like(node, op=OPERATIONS[type(op)]())
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.Name(id=name) if name in FUNCTIONS:
            yield like(node, id=FUNCTIONS[name])
        case ast.Attribute(attr=name) if name in FUNCTIONS:
            yield like(node, attr=FUNCTIONS[name])
        case ast.Constant(value=str(value)) if value in FUNCTIONS:
            yield ast.Constant(FUNCTIONS[value])
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
    condition = any(isinstance(parent, kind) and field == name for kind, name in CONDITIONS)
    if condition and not isinstance(node, ast.Compare | ast.UnaryOp):
        yield ast.UnaryOp(ast.Not(), node)
    of_state = isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name | ast.Tuple)
    is_text = isinstance(getattr(node, "value", None), ast.Constant) and isinstance(node, ast.Expr)
    if (isinstance(node, ast.AugAssign | ast.Raise | ast.Expr) and not is_text) or of_state:
        yield ast.Pass()


def mutants(path):
    """The mutants of a module: their text, by a name that tells the change and stays when other lines move."""
    tree, found = ast.parse((ROOT / path).read_text()), {}

    def visit(node, holder, shown, in_annotation):
        """`holder` is the function or class that a node is in, `shown` what a change within it is told by."""
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            holder = f"{holder}.{node.name}".removeprefix(".")
        for field, value in ast.iter_fields(node):
            children = value if isinstance(value, list) else [value]
            for place, child in enumerate(children):
                if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr):
                    continue
                inside = in_annotation or field in ("annotation", "returns")
                around = shown if isinstance(child, LEAVES) and shown is not None else child
                before = ast.unparse(around).partition("\n")[0]
                for new in changes(child, node, field, inside):
                    put(node, field, place, new)
                    after = ast.unparse(new if around is child else around)
                    found.setdefault(f"{path} {holder}: {before} -> {after}", []).append(ast.unparse(tree))
                    put(node, field, place, child)
                visit(child, holder, None if hasattr(child, "body") else around, inside)

    visit(tree, "", None, False)
    return {
        name + (f" ({number})" if len(texts) > 1 else ""): text
        for name, texts in found.items()
        for number, text in enumerate(texts, 1)
    }


def put(node, field, place, child):
    if isinstance(getattr(node, field), list):
        getattr(node, field)[place] = child
    else:
        setattr(node, field, child)


def tests_of(path):
    """The files of tests that are to notice a module's mutants."""
    path = Path(path)
    folder = path.parent.name.removeprefix("suppress_")
    own = (f"{folder}/test_{path.stem}.py", f"{folder}/test_properties.py", *ELSEWHERE.get(path.stem, ()))
    return [str(file) for name in own if (file := ROOT / "tests" / name).is_file()]


class Mutant(SourceFileLoader):
    """Puts a module's changed text where its own would be imported, or read: MindSpore compiles cells from text."""

    def __init__(self, path, text):
        super().__init__(module_of(path), str(ROOT / path))
        self.text = text

    def find_spec(self, name, *_):
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, _):
        linecache.cache[self.path] = len(self.text), None, self.text.splitlines(keepends=True), self.path
        return compile(self.text, self.path, "exec")


def module_of(path):
    return path.partition("/")[2].removesuffix(".py").replace("/", ".")


class Watched:
    """A plugin that tells, of each test, how long it takes and which functions of a module it calls."""

    def __init__(self, path):
        self.module, self.file = module_of(path), str(ROOT / path)
        self.seconds, self.setup = {}, 0.0  # of each test, and of the longest preparation
        self.calls, self.test = {}, ""  # "" stands for what is called for several tests

    def look(self, frame, event, _):
        if event != "call":
            return
        called = frame.f_code.co_qualname if frame.f_code.co_filename == self.file else None
        if frame.f_code.co_name == "checking":  # one that its arguments are checked for, and may be refused
            function = frame.f_locals["function"]
            called = function.__qualname__ if function.__module__ == self.module else None
        if called:
            self.calls.setdefault(called.replace(".<locals>", ""), set()).add(self.test)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        for value in vars(sys.modules[self.module]).values():
            getattr(value, "cache_clear", lambda: None)()
        self.test = item.nodeid
        try:
            return (yield)
        finally:
            self.test = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        own = self.test
        self.test = own if fixturedef.scope == "function" else ""
        try:
            return (yield)
        finally:
            self.test = own

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        self.setup = max(self.setup, report.duration if report.when == "setup" else 0.0)

    def told(self):
        calls = {name: sorted(tests) for name, tests in self.calls.items()}
        return {"seconds": self.seconds, "setup": self.setup, "calls": calls}


class Chosen:
    """A plugin that runs the tests that call a mutant's function, the quick ones first: most mutants they kill.

    A test that takes far too long ends its process, for it might never end; what is prepared for several tests may come
    before another one than it did.
    """

    def __init__(self, name, seconds, setup, calls):
        holder = name.partition(" ")[2].partition(":")[0]
        tests = set(calls.get(holder, [""]))
        self.seconds, self.setup, self.tests = seconds, setup, None if "" in tests else tests

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item):
        used = resource.getrusage(resource.RUSAGE_SELF)
        most = PATIENCE * (self.seconds.get(item.nodeid, 0.0) + self.setup) + AT_LEAST
        end = int(used.ru_utime + used.ru_stime + most) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if self.tests is None or item.nodeid in self.tests]
        items.sort(key=lambda item: self.seconds.get(item.nodeid, 0.0))


def tested(path, plugin, *, quiet):
    """The exit status of a module's tests."""
    if quiet:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1), os.dup2(null, 2)
    options = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options += ["--hypothesis-profile", "mutants"]
    return pytest.main([*options, *tests_of(path)], plugins=[plugin])


def apart(function, *arguments):
    """Fork a process that ends with what the function returns; its id."""
    if process := os.fork():
        return process
    status = 1
    try:
        status = int(function(*arguments))
    finally:
        sys.stdout.flush()
        os._exit(status)


def undisturbed(path):
    """What `Watched` tells of a module's tests."""
    reading, writing = os.pipe()

    def measured():
        watched = Watched(path)
        sys.setprofile(watched.look)
        status = tested(path, watched, quiet=False)
        sys.setprofile(None)
        with open(writing, "w") as telling:
            json.dump(watched.told(), telling)
        return status

    process = apart(measured)
    os.close(writing)
    with open(reading) as listening:
        said = listening.read()
    _, status = os.waitpid(process, 0)
    if status:
        sys.exit(f"{path}: its tests fail without any change: make them pass first.")
    return json.loads(said)


def changed(path, name, text, told):
    """The exit status of a module's tests with one change."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.meta_path.insert(0, Mutant(path, text))
    return tested(path, Chosen(name, **told), quiet=True)


def survivors(path, own, jobs):
    """Those of a module's mutants that no test kills."""
    told = undisturbed(path)
    waiting, running, left = list(own.items()), {}, set()
    while waiting or running:
        while waiting and len(running) < jobs:
            name, text = waiting.pop()
            running[apart(changed, path, name, text, told)] = name
        process, status = os.wait()
        name = running.pop(process)
        if os.waitstatus_to_exitcode(status) == pytest.ExitCode.NO_TESTS_COLLECTED:
            sys.exit(f"{name}: no test was run.")
        left |= {name} if status == 0 else set()
    return [name for name in own if name in left]


def explained():
    """The reasons of mutants.txt: unindented lines are mutants, an indented one is why the one above it survives."""
    reasons, name = {}, ""
    for line in EXPLAINED.read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            name = line
            reasons[name] = ""
        elif line.startswith(" "):
            reasons[name] += line.strip()
    return reasons


def prepared():
    """Load all that the tests import but the project's own modules, which each mutant's process loads for itself."""
    os.chdir(ROOT)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read once, and before conftest.py could set it
    importlib.import_module("suppress_study.summary")
    for name in ("scipy.ndimage", "scipy.integrate", "skimage.metrics", "hypothesis.strategies", "papermill"):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("suppress_privacy", "suppress_study")]:
        del sys.modules[name]
    gc.freeze()


def modules(place):
    path = ROOT / place
    found = [path] if path.is_file() else sorted(path.glob("*.py"))
    return [str(each.relative_to(ROOT)) for each in found if each.name != "__init__.py"]


def chosen(places):
    """The mutants to test, by module: all of some modules, and the sample."""
    whole = {path: mutants(path) for place in (places or WHOLE) for path in modules(place)}
    if places:
        return whole, {}
    others = {path: mutants(path) for path in modules(SAMPLED)}
    sample = set(random.Random(0).sample([name for own in others.values() for name in own], SAMPLE))
    return whole, {path: {name: own[name] for name in own if name in sample} for path, own in others.items()}


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="files or folders, all of their mutants (default: see above)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="mutants at a time")
    options = parser.parse_args()
    prepared()
    whole, sampled = chosen(options.modules)
    reasons, wrong, began = explained(), [], time.monotonic()
    totals = {"whole": [0, 0, 0], "sample": [0, 0, 0]}
    for path, own in (whole | sampled).items():
        left = survivors(path, own, options.jobs)
        known = [name for name in left if reasons.get(name)]
        counts = len(own), len(own) - len(left), len(known)
        tell(path, counts, time.monotonic() - began)
        print(*(f"  survives: {name}" for name in left if name not in known), sep="\n", flush=True)
        total = totals["whole" if path in whole else "sample"]
        total[:] = map(sum, zip(total, counts, strict=True))
        if path in whole:
            wrong += [f"{path}: {len(left) - len(known)} survive without a reason"] * (len(known) < len(left))
            wrong += [f"{path}: killed less than {LEAST:.0%}"] * (counts[1] < LEAST * counts[0])
            listed = [name for name in reasons if name.startswith(f"{path} ")]
            wrong += [f"no survivor, but in {EXPLAINED.name}: {name}" for name in listed if name not in known]
    for name, counts in totals.items():
        tell(name, counts, time.monotonic() - began)
    print(*wrong, sep="\n", file=sys.stderr)
    return bool(wrong)


def tell(name, counts, seconds):
    print("{}: {} mutants, {} killed, {} explained".format(name, *counts) + f"; {seconds / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
