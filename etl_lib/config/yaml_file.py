"""Reads a YAML file strictly (YAML 1.2 scalars, no repeated keys) and finds the line of any key in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from etl_lib.config.letters import composed
from etl_lib.errors import Fault, FixTheMapping

KeyPath = tuple[str | int, ...]


class _Loader(yaml.CSafeLoader):
    """libyaml's loader with YAML 1.2's core scalars: `no`, `01`, `12:30` and dates stay text."""


class _RepeatedKey(Exception):
    def __init__(self, mark: yaml.Mark, key: str) -> None:
        self.mark, self.key = mark, key


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    result: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, (bool, int, float)) or key is None:
            key = key_node.value  # keys are names: `1: active` means the text "1"
        if key in result:
            raise _RepeatedKey(key_node.start_mark, str(key))
        result[key] = loader.construct_object(value_node, deep=True)
    return result


# The core schema of YAML 1.2, https://yaml.org/spec/1.2.2/#103-core-schema; leading zeros stay text.
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    ("tag:yaml.org,2002:float",
     r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$",
     list("-+.0123456789")),
    ("tag:yaml.org,2002:merge", r"^(?:<<)$", ["<"]),
):  # fmt: skip
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


@dataclass(frozen=True)
class YamlFile:
    """One file as plain Python values; `shown` is its name in messages."""

    path: Path
    shown: str
    data: dict[str, Any]

    def line_of(self, key_path: Sequence[str | int]) -> tuple[int, int] | None:
        """Line and column (from 1) of the deepest key of `key_path` that the file has.

        None when the file does not even have the first key. Reads the file again: only errors ask.
        """
        node = yaml.compose(composed(self.path.read_text(encoding="utf-8")), Loader=_Loader)
        found: yaml.Mark | None = None
        for part in key_path:
            child: yaml.Node | None = None
            if isinstance(node, yaml.MappingNode):
                for key_node, value_node in node.value:
                    if key_node.value == str(part):
                        found, child = key_node.start_mark, value_node
            elif isinstance(node, yaml.SequenceNode) and part in range(len(node.value)):
                child = node.value[int(part)]
                found = child.start_mark
            if child is None:
                break
            node = child
        return (found.line + 1, found.column + 1) if found else None

    def depth_of(self, key_path: Sequence[str | int]) -> int:
        """How many leading parts of `key_path` exist in this file."""
        value: Any = self.data
        for depth, part in enumerate(key_path):
            children: Any = dict(enumerate(value)) if isinstance(value, list) else value
            if not isinstance(children, dict) or part not in children:
                return depth
            value = children[part]
        return len(key_path)


def read_yaml(path: Path, shown: str) -> YamlFile:
    """The file as a mapping of plain values.

    Raises FixTheMapping, with file, line and column, for a file that is missing, is not UTF-8, is
    not YAML, repeats a key, or is not a mapping at its top.
    """
    try:
        data = yaml.load(composed(path.read_text(encoding="utf-8")), Loader=_Loader)  # noqa: S506 (safe)
    except FileNotFoundError:
        raise _invalid("The file does not exist.", shown) from None
    except UnicodeDecodeError:
        raise _invalid("The file is not UTF-8.", shown) from None
    except _RepeatedKey as error:
        where = f"{shown}:{error.mark.line + 1}:{error.mark.column + 1}"
        raise _invalid(f"The key `{error.key}` stands twice.", where) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{shown}:{mark.line + 1}:{mark.column + 1}" if mark else shown
        problem = getattr(error, "problem", None) or "cannot be read"
        raise _invalid(f"This is not valid YAML: {problem}.", where) from None
    if not isinstance(data, dict):
        raise _invalid("The file must hold keys and values at its top level.", f"{shown}:1:1")
    return YamlFile(path, shown, data)


def _invalid(text: str, where: str) -> FixTheMapping:
    return FixTheMapping([Fault("MAPPING_INVALID", text, where)])
