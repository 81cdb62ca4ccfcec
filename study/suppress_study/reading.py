"""YAML as plain data, whoever wrote it, and as a model: what is wrong, or too much, is refused in one sentence."""

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

K = TypeVar("K")
T = TypeVar("T", bound=BaseModel)
BRANCHES = ("float", "int", "str", "OwnData")
VALUES = 100_000  # that a file may come to; study.yaml has some thousands


class SettingsError(ValueError):
    """A setting that is wrong; the message names it, the value, and what is allowed."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, as `from_yaml` has it.

    Raises:
        SettingsError: it cannot be read, is not YAML, or is too much.
    """
    return from_yaml(read(path), str(path))


def read(path: Path) -> bytes:
    """What is in a file of settings.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}): run from the project's folder.") from error


def from_yaml(text: str | bytes, place: str) -> Any:
    """What a text says: plain data, and not more of it than a limit, however its aliases multiply.

    Raises:
        SettingsError: it is not YAML, or is too much; the message names its place.
    """
    try:
        node = (loader := yaml.SafeLoader(text)).get_single_node()
        if _values(node, {}) <= VALUES:
            return loader.construct_document(node) if node else None
    except Exception as error:  # of any kind: "2001-99-99" is a ValueError, "!!bool x" a KeyError
        raise SettingsError(f"{place} is not YAML ({' '.join(str(error).split())}): correct it there.") from error
    raise SettingsError(f"{place} comes to more than {VALUES:,} values with its aliases: shorten it.")


def _values(node: Any, known: dict[int, float]) -> float:
    """How many values a node of YAML comes to when every alias is followed; infinity if it has itself inside."""
    if id(node) not in known:
        known[id(node)] = math.inf
        inside = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for each in inside for part in (each if isinstance(each, tuple) else (each,))]
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]


def named(known: Mapping[str, K], name: str, what: str) -> K:
    if name not in known:
        raise SettingsError(f"{what} is {name!r}; allowed are {', '.join(known)}: use one or add it to study.yaml.")
    return known[name]


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` with `changes` laid over them, dictionaries merged key by key."""
    result = dict(settings)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if nested else value
    return result


@lru_cache(maxsize=16)
def loaded(model: type[T], content: bytes, path: Path, place: str, campaign: bytes = b"", **context: Any) -> T:
    """A file's content as a `model`, checked once a process, and once for all jobs that are forked from it.

    Args:
        model: with `laid_over(content, campaign)` where there is a campaign to lay over the content.
        content, path: the file's bytes, and where they are from.
        place: what messages call it.
        campaign: JSON.
        context: for the model's validators.
    """
    settings = from_yaml(content, str(path))
    if campaign:
        settings = model.laid_over(settings, from_yaml(campaign, "the campaign"))  # type: ignore[attr-defined]
        place += " under the campaign"
    return validated(model, settings, place, **context)


def validated(model: type[T], content: Any, place: str, **context: Any) -> T:
    """`content` as a `model`; the first thing wrong with it as a SettingsError in one sentence."""
    try:
        return model.model_validate(content, context=context)
    except ValidationError as error:
        found = error.errors()
        # Of a union's branches the one that is meant; they are in a setting's path, but no part of the file.
        meant = (one for one in found if not (one["type"] == "string_type" and one["input"].__class__ is dict))
        first = next(meant, found[0])
        where = ".".join(str(part) for part in first["loc"] if part not in BRANCHES)
        message, context = first["msg"].removeprefix("Value error, ").removesuffix("."), first.get("ctx", {})
        said = {
            "value_error": f"{where}: {message}" if where else message,
            "extra_forbidden": f"{where} is not a setting; remove it or correct its name",
            "missing": f"{where} is missing; add it",
            "union_tag_invalid": f"{where}.kind is {context.get('tag')!r}; allowed are {context.get('expected_tags')}",
        }.get(first["type"], f"{where} is {first['input']!r}; {message[0].lower()}{message[1:]}")
        raise SettingsError(f"{place}: {said}.") from error
