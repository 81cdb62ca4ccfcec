"""Any network as two halves at one of its layers, found by name: what it computes up to there, and from there on.

The halves are made from the source of `construct`: the statements up to the layer's call, and those after it. A loop
over layers is unrolled, a condition on what is fixed is decided, and where the layer is inside another one, that one is
cut in turn. They are compiled as the network itself is, and share its weights.
"""

import ast
import copy
import inspect
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import Annotated, Any

from mindspore import nn

from suppress_privacy.checks import Bounds

Layer = Annotated[str, Bounds(at_least=1), "a layer's name"]

GIVEN, DEPTH, INNER = "_given", "_depth", "_cut"  # what halves call the features, the layer's name, a layer that is cut
UNKNOWN = object()  #: the value of what depends on more than the network
_files = count()


@cache
def _folder() -> tempfile.TemporaryDirectory:
    """Of the sources of halves, as long as the process lives."""
    return tempfile.TemporaryDirectory(prefix="suppress-privacy-")


class Cut(nn.Cell):
    """A network with the methods `features(x, depth)` and `rest(x, depth)`, for the one depth it was cut at."""

    def __init__(self, network: nn.Cell, inner: nn.Cell | None) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.inner = inner or nn.Identity()


def cut(network: nn.Cell, layer: str) -> nn.Cell:
    """A network cut behind one of its layers.

    Args:
        network: any, whose `construct` is written in Python; a list of layers in a row, such as SequentialCell, too.
        layer: its name, such as "fc1" or "blocks.2.conv".

    Returns:
        A cell that shares the network's weights, with `features(x, depth)`, what the layer gives, and `rest(x, depth)`,
        what the network makes of that; `depth` is the layer's name.

    Raises:
        ValueError: there is no such layer; it is called more than once, or it cannot be said in advance whether; the
            network looks beside it, so that its features are not all that the rest depends on; or it does more than the
            source of its `construct` says, or says it in ways that are not understood here.

    Examples:
        >>> from suppress_privacy.convnet import ConvNet
        >>> whole = ConvNet(width=4, channels=1, seed=0)
        >>> halves = cut(whole, "fc1")
        >>> seen = halves.features(Tensor(images), "fc1")
        >>> seen.shape, halves.rest(seen, "fc1").shape
        ((4, 128), (4, 10))
    """
    named = {name: cell for name, cell in network.cells_and_names() if name}
    what = f"layer is {layer!r}"
    if layer not in named:
        known = f"it has {', '.join(named)}" if named else "it has none"
        raise ValueError(f"network is {type(network).__name__}, which has no layer {layer!r}; {known}: name one.")
    return _cut(network, named[layer], what)


def _cut(network: nn.Cell, target: nn.Cell, what: str) -> nn.Cell:
    if type(network).construct is nn.SequentialCell.construct:
        _require_plain(network, what)
        body, names = _in_a_row(network), ["x"]
        globals_: Mapping[str, Any] = {"__name__": __name__}
    else:
        function = _written(network, what)
        globals_ = type(network).construct.__globals__
        body, names = _straight(function.body, network, target, globals_), [each.arg for each in function.args.args[1:]]
    calls = [(place, call) for place, line in enumerate(body) for call in _calls(line, network, target, globals_)]
    if len(calls) != 1:
        often = "is never called" if not calls else f"is called {len(calls)} times"
        raise ValueError(f"{what}, which {often} in {type(network).__name__}: name another.")
    ((place, call),) = calls
    if not isinstance(body[place], ast.Assign | ast.AnnAssign | ast.Expr | ast.Return | ast.AugAssign):
        raise ValueError(f"{what}, which {type(network).__name__} calls under a condition or in a loop: name another.")
    if any(isinstance(node, ast.Return) for line in body[:place] for node in ast.walk(line)):
        raise ValueError(f"{what}, before which {type(network).__name__} may return: name one that it always gets to.")
    cell = _value(call.func, network, globals_)
    inner = None if cell is target else _cut(cell, target, what)
    if inner is not None and (call.keywords or len(call.args) != len(inspect.signature(cell.construct).parameters)):
        raise ValueError(f"{what}, inside a layer that is not given all its arguments by their place: give it them so.")
    first, second = _halves(body, place, call, inner)
    _require_alone(second, names, body[:place], what, type(network).__name__)
    return _made(network, inner, names, first, second, globals_)


def _written(network: nn.Cell, what: str) -> ast.FunctionDef:
    """A network's construct, as it is written, if that is all it does, and is of a kind that is understood here."""
    _require_plain(network, what)
    try:
        source = textwrap.dedent(inspect.getsource(type(network).construct))
        (function,) = ast.parse(source).body
    except (OSError, TypeError, ValueError, SyntaxError) as error:
        kind = type(network).__name__
        raise ValueError(f"{what}, and how {kind} calls it cannot be read ({error}): keep it in a file.") from error
    assert isinstance(function, ast.FunctionDef)
    given, kind = function.args, type(network).__name__
    if given.vararg or given.kwarg or given.kwonlyargs or given.posonlyargs:
        raise ValueError(f"{what}; {kind}.construct has no fixed arguments: give it such.")
    if strange := next(filter(None, map(_strange, ast.walk(function))), None):
        raise ValueError(f"{what}, and {kind}.construct has {strange}, which is not understood here: do without it.")
    own = function.args.args[0].arg
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == own:
            node.id = "self"
    return function


def _require_plain(network: nn.Cell, what: str) -> None:
    """Raise if a network does more than the source of its construct says."""
    construct, kind = type(network).construct, type(network).__name__
    for more, there in (
        ("a construct of its own, beside its class's", "construct" in vars(network)),
        ("a construct that is decorated", hasattr(construct, "__wrapped__")),
        ("a construct made inside a function", getattr(construct, "__closure__", None)),
        ("hooks", any(hooks for name, hooks in vars(network).items() if name.startswith("_lazy_") and "hook" in name)),
    ):
        if there:
            raise ValueError(f"{what}, and {kind} has {more}, which the halves would leave out: do without it.")


def _strange(node: ast.AST) -> str:
    """What makes code too hard to take apart, or nothing."""
    if isinstance(node, ast.FunctionDef) and node.decorator_list:
        return "a decorator"
    if isinstance(node, ast.NamedExpr):
        return "an assignment within an expression"
    if isinstance(node, ast.Name) and node.id in (GIVEN, DEPTH, INNER, "super"):
        return node.id
    if isinstance(node, ast.Attribute) and node.attr.startswith("__") and not node.attr.endswith("__"):
        return f"the private name {node.attr}"
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return f"an assignment to {ast.unparse(node)}"
    return ""


def _in_a_row(network: nn.Cell) -> list[ast.stmt]:
    lines = [f"x = self[{place}](x)" for place in range(len(network))]
    return [*ast.parse("\n".join(lines)).body, ast.Return(ast.Name("x", ast.Load()))]


def _value(expression: ast.expr, network: nn.Cell, globals_: Mapping[str, Any]) -> Any:
    """What an expression stands for whatever the input; UNKNOWN where that cannot be said."""
    if isinstance(expression, ast.Name | ast.Attribute | ast.Subscript | ast.Compare | ast.UnaryOp | ast.BoolOp):
        try:
            whole = ast.fix_missing_locations(ast.Expression(copy.deepcopy(expression)))
            return eval(compile(whole, "<construct>", "eval"), dict(globals_), {"self": network})
        except Exception:  # of any kind: it may stand for anything
            return UNKNOWN
    return UNKNOWN


def _has(cell: Any, target: nn.Cell) -> bool:
    return isinstance(cell, nn.Cell) and any(each is target for _, each in cell.cells_and_names())


def _calls(line: ast.AST, network: nn.Cell, target: nn.Cell, globals_: Mapping[str, Any]) -> list[ast.Call]:
    """The calls in a statement of the target, or of what has it inside."""
    found = [node for node in ast.walk(line) if isinstance(node, ast.Call)]
    return [call for call in found if _has(_value(call.func, network, globals_), target)]


def _straight(lines: list[ast.stmt], network: nn.Cell, target: nn.Cell, globals_: Mapping[str, Any]) -> list[ast.stmt]:
    """Statements with loops over layers unrolled and conditions on what is fixed decided, if they have the target."""
    found: list[ast.stmt] = []
    for line in lines:
        if isinstance(line, ast.For) and isinstance(line.target, ast.Name) and _is_plain(line, line.target.id):
            cells = _value(line.iter, network, globals_)
            if isinstance(cells, nn.CellList | nn.SequentialCell | tuple | list) and any(
                _has(c, target) for c in cells
            ):
                for place in range(len(cells)):
                    each = ast.Subscript(line.iter, ast.Constant(place), ast.Load())
                    unrolled = [_Renamed({line.target.id: each}).visit(copy.deepcopy(inside)) for inside in line.body]
                    found += _straight(unrolled, network, target, globals_)
                continue
        decided = (
            _value(line.test, network, globals_) if isinstance(line, ast.If) and _about_self(line.test) else UNKNOWN
        )
        if isinstance(line, ast.If) and decided is not UNKNOWN and _calls(line, network, target, globals_):
            chosen = line.body if decided else line.orelse
            found += _straight(chosen, network, target, globals_)
            continue
        found.append(line)
    return found


def _is_plain(loop: ast.For, variable: str) -> bool:
    """Whether a loop can be unrolled by putting each value in the place of its variable."""
    inside = [node for line in loop.body for node in ast.walk(line)]
    own = (ast.Break, ast.Continue, ast.Return, ast.Lambda, ast.comprehension)
    stored = {node.id for node in inside if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return not loop.orelse and variable not in stored and not any(isinstance(node, own) for node in inside)


def _about_self(test: ast.expr) -> bool:
    """Whether a condition asks of the network alone: not of its input, nor of whether it is in training."""
    if any(isinstance(node, ast.Attribute) and node.attr == "training" for node in ast.walk(test)):
        return False
    names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    return names == {"self"} and not any(isinstance(node, ast.Call) for node in ast.walk(test))


class _Renamed(ast.NodeTransformer):
    """Puts expressions in the place of names that are read."""

    def __init__(self, names: Mapping[str, ast.expr]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        replaced = isinstance(node.ctx, ast.Load) and node.id in self.names
        return copy.deepcopy(self.names[node.id]) if replaced else node


class _Replaced(ast.NodeTransformer):
    """Puts another expression in the place of one call."""

    def __init__(self, call: ast.Call, other: ast.expr) -> None:
        self.call, self.other = call, other

    def visit_Call(self, node: ast.Call) -> ast.expr:
        return self.other if node is self.call else self.generic_visit(node)  # type: ignore[return-value]


def _halves(
    body: list[ast.stmt], place: int, call: ast.Call, inner: nn.Cell | None
) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """The statements of both halves."""
    given: ast.expr = ast.Name(GIVEN, ast.Load())
    value: ast.expr = call
    if inner is not None:
        value = _expression(f"self.{INNER}.features()")
        assert isinstance(value, ast.Call)
        value.args = [*call.args, ast.Name(DEPTH, ast.Load())]
        given = _expression(f"self.{INNER}.rest({GIVEN}, {DEPTH})")
    first = [*body[:place], ast.Return(value)]
    second = [_Replaced(call, given).visit(body[place]), *body[place + 1 :]]
    return copy.deepcopy(first), copy.deepcopy(second)


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _read_first(lines: list[ast.stmt]) -> Iterator[str]:
    """The names that statements read before they write them."""
    written: set[str] = set()
    for line in lines:
        names = [node for node in ast.walk(line) if isinstance(node, ast.Name)]
        read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        if isinstance(line, ast.AugAssign) and isinstance(line.target, ast.Name):
            read.add(line.target.id)
        yield from sorted(read - written)
        if not isinstance(line, ast.If | ast.For | ast.While | ast.With | ast.Try):  # which may not get to it
            written |= {node.id for node in names if isinstance(node.ctx, ast.Store)}


def _require_alone(second: list[ast.stmt], names: list[str], before: list[ast.stmt], what: str, kind: str) -> None:
    """Raise where the second half needs more than what the layer gives."""
    nodes = [node for line in before for node in ast.walk(line) if isinstance(node, ast.Name)]
    made = {*names} | {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    if beside := [name for name in _read_first(second) if name in made]:
        raise ValueError(
            f"{what}, beside which {kind} looks at {beside[0]}: what follows depends on more than its features. "
            "Name a layer that everything goes through."
        )


def _made(
    network: nn.Cell,
    inner: nn.Cell | None,
    names: list[str],
    first: list[ast.stmt],
    second: list[ast.stmt],
    globals_: Mapping[str, Any],
) -> nn.Cell:
    """The cell with both halves as methods, whose source MindSpore can read."""
    own = {"self": _expression("self.network")}
    heads = f"def features(self, {', '.join([*names, DEPTH])}):", f"def rest(self, {GIVEN}, {DEPTH}):"
    text = ""
    for heading, body in zip(heads, (first, second), strict=True):
        moved = [ast.fix_missing_locations(_Renamed(own).visit(line)) for line in body]
        said = "\n".join(map(ast.unparse, moved)).replace(f"self.network.{INNER}.", "self.inner.")
        text += f"{heading}\n{textwrap.indent(said, '    ')}\n\n"
    file = Path(_folder().name, f"{type(network).__name__}_{next(_files)}.py")  # where MindSpore reads it
    file.write_text(text, "utf-8")
    methods: dict[str, Callable] = {}
    exec(compile(text, str(file), "exec"), dict(globals_), methods)
    return type("Cut", (Cut,), methods)(network, inner)
