"""Lines of code by package, module and function: python tests/sizes.py

A line of code is none of blank, comment or docstring; what is over a limit of `LIMITS`, or of a module or a function,
is listed, and is an error.
"""

import ast
import io
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIMITS = {
    "lib/suppress_privacy": 4500,
    "study/suppress_study": 5485,
    "book/report": 3660,
    "study/Snakefile": 180,
    "study/study.yaml": 450,
}
MODULE, FUNCTION = 300, 50
LAYOUT = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.ENDMARKER)


def docstring_lines(tree):
    """The lines of all docstrings of a module."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            lines |= {*range(node.body[0].lineno, node.body[0].end_lineno + 1)}
    return lines


def code_lines(text):
    """The numbers of a module's lines of code."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT:
            lines |= {*range(token.start[0], token.end[0] + 1)}
    return lines - docstring_lines(ast.parse(text))


def of_data(path):
    """Lines of YAML or of a Snakefile that say something."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in path.read_text().splitlines())


def sizes():
    """Lines of code: by place of `LIMITS`, by module, by function."""
    places, modules, functions = {}, {}, {}
    for place in LIMITS:
        path = ROOT / place
        if path.is_file():
            places[place] = of_data(path)
            continue
        for module in sorted(path.rglob("*.py")):
            text, name = module.read_text(), str(module.relative_to(ROOT))
            lines = code_lines(text)
            modules[name] = len(lines)
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef):
                    body = {*range(node.lineno, node.end_lineno + 1)} - docstring_lines(node)
                    functions[f"{name}:{node.name}"] = len(body)
        places[place] = sum(count for name, count in modules.items() if name.startswith(f"{place}/"))
    return places, modules, functions


def over():
    """What is longer than it may be, in words."""
    places, modules, functions = sizes()
    limits = (
        (places, LIMITS),
        (modules, dict.fromkeys(modules, MODULE)),
        (functions, dict.fromkeys(functions, FUNCTION)),
    )
    return [
        f"{name} has {count} lines, {limit[name]} at most"
        for counts, limit in limits
        for name, count in counts.items()
        if count > limit[name]
    ]


if __name__ == "__main__":
    for name, count in sizes()[0].items():
        print(f"{count:6,} of {LIMITS[name]:6,}  {name}")
    for name, count in sizes()[1].items():
        print(f"{count:6,}            {name}")
    print("\n".join(over()))
    sys.exit(bool(over()))
