"""JSON Schemas of the YAML files, for editors: made from the models, committed in include/schemas/."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from etl_lib.config.entity import Entity
from etl_lib.config.environment import Environment
from etl_lib.config.mapping import Mapping

Schema = dict[str, Any]

# Models that stand in lists, which no layer completes: what they require must really be there.
_WHOLE = ("Expectation", "Layout")


def json_schemas() -> dict[str, Schema]:
    """The schema of each kind of file: mapping, template, entity, environment."""
    return {
        "mapping": _layer("A client's mapping", Mapping),
        "template": _layer("A template of a student information system", Mapping),
        "entity": _of("An entity of the canonical model", Entity),
        "environment": _of("An environment", Environment),
    }


def _of(title: str, model: type[BaseModel]) -> Schema:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(),
        "title": title,
    }
    for part in _parts(schema):
        part.pop("title", None) if part is not schema else None
        if part.get("format") == "time":  # the format would ask for a zone
            part["pattern"] = r"^[0-9]{2}:[0-9]{2}(:[0-9]{2})?$"
            del part["format"]
    return schema


def _layer(title: str, model: type[BaseModel]) -> Schema:
    """The schema of one layer: other layers may give what it lacks, and null removes what they gave."""
    schema = _of(title, model)
    definitions = schema["$defs"]
    feed, layout = definitions["Feed"], definitions["Layout"]
    layout["properties"] = {
        **layout["properties"],
        **{name: part for name, part in feed["properties"].items() if name != "layouts"},
    }
    del layout["properties"]["feed"]
    layout["required"] = ["effective_from"]
    layout["description"] = "The feed's form from a date on: only the keys that differ."
    for name, part in (("", schema), *definitions.items()):
        if name not in _WHOLE:
            part.pop("required", None)
        if "properties" in part:
            part["properties"] = {n: _or_null(p) for n, p in part["properties"].items()}
            for inner in part["properties"].values():
                _values_or_null(inner)
    del schema["properties"]["client_id"]  # the file's name gives it
    extends = {"type": "string", "description": "Template: a file's stem in include/templates/."}
    schema["properties"] = {"extends": extends, **schema["properties"]}
    return schema


def _values_or_null(part: Schema) -> None:
    for inner in (part, *part.get("anyOf", ())):
        if isinstance(inner.get("additionalProperties"), dict):
            inner["additionalProperties"] = _or_null(inner["additionalProperties"])
        for name, value in inner.get("patternProperties", {}).items():
            inner["patternProperties"][name] = _or_null(value)


def _or_null(part: Schema) -> Schema:
    options = part.get("anyOf", ())
    if {"type": "null"} in options:
        return part
    about: Schema = {name: part[name] for name in ("description", "default") if name in part}
    bare = copy.deepcopy({name: value for name, value in part.items() if name not in about})
    if options:
        return {**about, **bare, "anyOf": [*bare["anyOf"], {"type": "null"}]}
    return {**about, "anyOf": [bare, {"type": "null"}]}


def _parts(part: Any) -> Iterator[Schema]:
    """Every schema inside a schema, itself first; names of properties are no schemas."""
    if isinstance(part, list):
        for inner in part:
            yield from _parts(inner)
    elif isinstance(part, dict):
        yield part
        for key, inner in part.items():
            if key in ("properties", "$defs", "patternProperties"):
                for named in inner.values():
                    yield from _parts(named)
            elif key != "default":
                yield from _parts(inner)
