"""Finds the YAML files of `include/`, merges their layers and gives frozen models or all the faults."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from etl_lib.config.entity import Entity, Model, in_load_order
from etl_lib.config.environment import Environment, environment_name
from etl_lib.config.hooks import hook_file, hook_folder
from etl_lib.config.mapping import CLIENT_ID, ORIGINS, EntityFill, Feed, Mapping
from etl_lib.config.room import faults_of_pool
from etl_lib.config.yaml_file import KeyPath, YamlFile, read_yaml
from etl_lib.errors import EtlError, Fault, FixTheMapping

M = TypeVar("M", bound=BaseModel)
_LAYOUT_KEYS = ("effective_from",)
# Of an entity file what helps people to map their columns and decides nothing about a row.
_ONLY_FOR_PEOPLE: dict[str, Any] = {
    "description": True, "aliases": True,
    "fields": {"__all__": {"description": True, "aliases": True, "value_aliases": True}},
}  # fmt: skip
_FOR_EVERY_FEED = ("format", "values", "limits")


@dataclass(frozen=True)
class Fill:
    """One entity as one feed fills it: the unit in which rows are checked, loaded and counted."""

    feed_name: str
    feed: Feed
    entity: Entity
    rules: EntityFill

    @property
    def name(self) -> str:
        """`<feed>.<entity>`, as files and counts are named."""
        return f"{self.feed_name}.{self.entity.entity}"

    @property
    def deletes_absent(self) -> bool:
        """Whether a row that vanishes from this feed is deleted."""
        if self.feed.content != "full":
            return False
        wish = self.rules.delete_absent
        return self.entity.delete_absent if wish is None else wish


class ResolvedMapping(Model):
    """A mapping with everything it leans on; stored with the run, read by all later stages."""

    environment: str
    mapping: Mapping
    entities: dict[str, Entity]
    announced_at: dict[str, str] = Field(
        default_factory=dict,
        description="Where each day of `approve_on` is written: file, line, column.",
    )

    @property
    def client_id(self) -> str:
        """The client."""
        return self.mapping.client_id

    def fills(self) -> tuple[Fill, ...]:
        """Every (feed, entity), in load order; within an entity by precedence, then as written."""
        found = []
        for feed_name, feed in self.mapping.feeds.items():
            for entity_name, rules in feed.entities.items():
                found.append(Fill(feed_name, feed, self.entities[entity_name], rules))

        names = list(self.entities)

        def rank(fill: Fill) -> tuple[int, bool, int]:
            order = self.mapping.precedence.get(fill.entity.entity, ())
            place = order.index(fill.feed_name) if fill.feed_name in order else len(order)
            return names.index(fill.entity.entity), not fill.rules.insert, place

        return tuple(sorted(found, key=rank))

    @property
    def hooks(self) -> tuple[str, ...]:
        """Every hook that a fill names, sorted."""
        return tuple(sorted({f.rules.hook for f in self.fills() if f.rules.hook}))

    @cached_property
    def outcome_contract(self) -> str:
        """sha256 over all that can decide what comes out of a delivery, in rows, counts, limits, holds."""
        what: dict[str, Any] = {
            "announced_at": True,
            "entities": {"__all__": _ONLY_FOR_PEOPLE},
        }
        digest = hashlib.sha256(self.model_dump_json(exclude=what).encode())
        if self.hooks:
            for path in sorted(hook_folder().rglob("*.py")):  # a hook may import its neighbours
                digest.update(path.read_bytes())
        return digest.hexdigest()

    @cached_property
    def row_contract(self) -> str:
        """sha256 over all that decides what becomes of a row: feeds, entities, hooks, revision."""
        digest = hashlib.sha256()
        for feed_name, feed in sorted(self.mapping.feeds.items()):
            digest.update(feed_name.encode())
            digest.update(feed.model_dump_json(exclude={"limits", "required"}).encode())
        for _, entity in sorted(self.entities.items()):
            digest.update(entity.model_dump_json(exclude=_ONLY_FOR_PEOPLE).encode())
        for hook in self.hooks:
            digest.update(hook_source(hook).encode())
        digest.update(f"{self.mapping.precedence}{self.mapping.revision}".encode())
        return digest.hexdigest()


def hook_source(hook: str) -> str:
    """The source text of the module that holds the hook; empty when there is none."""
    module = hook_file(hook.rpartition(".")[0])
    return module.read_text(encoding="utf-8") if module.is_file() else ""


@dataclass(frozen=True)
class Project:
    """The folder `include/` as one thing. All reading errors are FixTheMapping with every fault."""

    include: Path
    environment_name: str

    @classmethod
    def load(cls, include: Path | None = None, environment: str | None = None) -> Project:
        """The project's own `include/` (or ETL_INCLUDE) in the environment of ETL_ENVIRONMENT."""
        default = os.environ.get("ETL_INCLUDE") or Path(__file__).parents[2] / "include"
        return cls(Path(include or default).resolve(), environment or environment_name())

    def shown(self, path: Path) -> str:
        """A path as messages name it, from the folder above `include/`."""
        return str(path.relative_to(self.include.parent))

    @cached_property
    def entities(self) -> dict[str, Entity]:
        """Every entity, in load order."""
        faults: list[Fault] = []
        found: dict[str, Entity] = {}
        for path in sorted((self.include / "entities").glob("*.yaml")):
            try:
                entity = validated(Entity, [self._read(path)])
                if entity.entity != path.stem:
                    where = f"{self.shown(path)}:1:1"
                    text = f"`{entity.entity}` must be the file's name."
                    raise FixTheMapping.of("MAPPING_INVALID", text, where)
                found[entity.entity] = entity
            except FixTheMapping as error:
                faults += error.faults
        if faults:
            raise FixTheMapping(faults)
        return in_load_order(found)

    @cached_property
    def environment(self) -> Environment:
        """The environment's file."""
        path = self.include / "environments" / f"{self.environment_name}.yaml"
        return validated(Environment, [self._read(path)])

    def client_ids(self) -> tuple[str, ...]:
        """Every client that has a mapping file and runs in this environment, sorted."""
        wanted = self.environment.clients
        found = (path.stem for path in self._mapping_files() if _names_a_client(path))
        return tuple(name for name in found if wanted == "all" or name in wanted)

    def misnamed_mappings(self) -> dict[str, Fault]:
        """Files among the mappings that no client can have, by name: never passed over in silence."""
        return {
            path.name: Fault(
                "MAPPING_INVALID",
                "this is no mapping: its name must be a client id and end in `.yaml`.",
                self.shown(path),
                "A client id has 2 to 48 small letters, digits and _, and begins with a letter.",
            )
            for path in self._mapping_files()
            if not _names_a_client(path)
        }

    def _mapping_files(self) -> list[Path]:
        paths = (self.include / "mappings").glob("*")
        return sorted(path for path in paths if not path.name.startswith("."))

    def mapping_path(self, client_id: str) -> Path:
        """Where the client's mapping lies."""
        return self.include / "mappings" / f"{client_id}.yaml"

    def resolve(self, client_id: str) -> ResolvedMapping:
        """The client's mapping with all layers merged, checked and linted.

        Raises FixTheMapping with every fault of the mapping, each with file:line:column.
        """
        path = self.mapping_path(client_id)
        if not path.is_file():
            near = difflib.get_close_matches(
                client_id, [p.stem for p in path.parent.glob("*.yaml")]
            )
            hint = f"Did you mean `{near[0]}`?" if near else ""
            text = f"There is no mapping for `{client_id}`."
            raise FixTheMapping.of("MAPPING_NOT_FOUND", text, self.shown(path), hint)
        layers = self.layers(client_id)
        mapping = validated(Mapping, layers, {"client_id": client_id})
        from etl_lib.config.lint import lint  # a stage reads a mapping that was linted before

        faults = lint(mapping, self.entities, lambda key: place_of(layers, key))
        faults += self._unknown_language(mapping, layers)
        faults += self._unknown_pool(mapping, layers)
        if faults:
            raise FixTheMapping(faults)
        used = {name for feed in mapping.feeds.values() for name in feed.entities}
        entities = {n: e for n, e in self.entities.items() if n in used}
        places = {
            one.date.isoformat(): place_of(layers, ("approve_on", number))
            for number, one in enumerate(mapping.approve_on)
        }
        return ResolvedMapping(
            environment=self.environment_name,
            mapping=mapping,
            entities=entities,
            announced_at=places,
        )

    def languages(self) -> tuple[str, ...]:
        """Languages in which a school can be told something."""
        return tuple(sorted(path.stem for path in (self.include / "languages").glob("*.yaml")))

    def _unknown_language(self, mapping: Mapping, layers: Sequence[YamlFile]) -> list[Fault]:
        known = self.languages()
        if mapping.language == "en" or mapping.language in known:
            return []
        text = f"language: there is no `include/languages/{mapping.language}.yaml`."
        hint = f"There are: {', '.join(known)}."
        return [Fault("MAPPING_INVALID", text, place_of(layers, ("language",)), hint)]

    def _unknown_pool(self, mapping: Mapping, layers: Sequence[YamlFile]) -> list[Fault]:
        if mapping.pool is None:
            return []
        found = faults_of_pool(mapping.pool, self.environment.pools, self.environment_name)
        where = place_of(layers, ("pool",))
        return [Fault("MAPPING_INVALID", f"pool: {text}", where, hint) for text, hint in found]

    def layers(self, client_id: str) -> list[YamlFile]:
        """base, templates from the most general to the nearest, mapping, environment's overrides."""
        mapping = self._read(self.mapping_path(client_id))
        templates = self._templates_below(mapping)
        environment = self._read(self.include / "environments" / f"{self.environment_name}.yaml")
        overrides = YamlFile(
            environment.path, environment.shown, environment.data.get("overrides") or {}
        )
        return [self._read(self.include / "base.yaml"), *templates, mapping, overrides]

    def template_names(self) -> tuple[str, ...]:
        """Every template, sorted."""
        return tuple(sorted(path.stem for path in (self.include / "templates").glob("*.yaml")))

    def template(self, name: str) -> ResolvedMapping:
        """A template as a client would have it that adds nothing of its own; not linted.

        Raises FixTheMapping when there is no such template or it cannot be read.
        """
        path = self.include / "templates" / f"{name}.yaml"
        top = self._read(path)
        layers = [self._read(self.include / "base.yaml"), *self._templates_below(top), top]
        given = {"client_id": "template", "client": name, "owner": name}
        mapping = validated(Mapping, layers, given)
        used = {entity for feed in mapping.feeds.values() for entity in feed.entities}
        entities = {n: e for n, e in self.entities.items() if n in used}
        return ResolvedMapping(
            environment=self.environment_name, mapping=mapping, entities=entities
        )

    def template_lineage(self, name: str) -> tuple[str, ...]:
        """The templates that make a template, from the most general one to itself."""
        top = self._read(self.include / "templates" / f"{name}.yaml")
        return (*(below.path.stem for below in self._templates_below(top)), name)

    def _templates_below(self, top: YamlFile) -> list[YamlFile]:
        """The templates that a file extends, from the most general to the nearest."""
        templates: list[YamlFile] = []
        below = top
        while name := below.data.get("extends"):
            path = self.include / "templates" / f"{name}.yaml"
            if not path.is_file() or any(t.path == path for t in templates):
                line, column = below.line_of(("extends",)) or (1, 1)
                known = sorted(p.stem for p in path.parent.glob("*.yaml"))
                near = difflib.get_close_matches(str(name), known, 1)
                hint = f"Did you mean `{near[0]}`?" if near else f"There are: {', '.join(known)}."
                where = f"{below.shown}:{line}:{column}"
                text = f"There is no template `{name}`."
                raise FixTheMapping.of("MAPPING_INVALID", text, where, hint)
            below = self._read(path)
            templates.insert(0, below)
        return templates

    def digest(self, client_id: str) -> str:
        """sha256 over the bytes of every file that makes the client's mapping, for change checks."""
        digest = hashlib.sha256()
        for layer in self.layers(client_id):
            digest.update(layer.path.read_bytes())
        return digest.hexdigest()

    def _read(self, path: Path) -> YamlFile:
        return _read_cached(path, self.shown(path), path.stat().st_mtime_ns if path.exists() else 0)


def _names_a_client(path: Path) -> bool:
    return path.suffix == ".yaml" and re.fullmatch(CLIENT_ID, path.stem) is not None


@cache
def _read_cached(path: Path, shown: str, mtime_ns: int) -> YamlFile:
    """Templates are read once for 500 mappings; a changed file is read again."""
    return read_yaml(path, shown)


def merged(layers: Sequence[dict[str, Any]], inside: str = "") -> dict[str, Any]:
    """One mapping out of several: later layers win, mappings merge, lists replace.

    A null removes what a lower layer gave (a template's feed, say), except among the values of a
    `map`, where it means: no value. A column rule that names its own origin drops the lower one's.
    """
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            if inside == "columns" and isinstance(value, dict):
                below = _rule_below(below, value)
            if isinstance(value, dict) and isinstance(below, dict):
                result[key] = merged([below, value], key)
            elif value is None and key in result and inside != "map":
                del result[key]
            else:
                result[key] = value
    return result


def _rule_below(below: Any, above: dict[str, Any]) -> Any:
    """What stays of a lower layer's column rule under `above`.

    The short form is written out; a new origin drops the old one, a constant the whole rule.
    """
    if isinstance(below, str | list):
        below = {"from": below}
    if not isinstance(below, dict) or not ORIGINS & above.keys():
        return below
    if "constant" in above:
        return None
    return {key: value for key, value in below.items() if key not in ORIGINS}


def validated(model: type[M], layers: Sequence[YamlFile], given: dict[str, Any] | None = None) -> M:
    """The model of the merged layers; raises FixTheMapping with every fault and its place."""
    data = merged([layer.data for layer in layers])
    data.pop("extends", None)
    if model is Mapping:
        data = _without_removed_feeds(data, layers)
        data = {**_with_layouts(_with_feed_defaults(data)), **(given or {})}
    try:
        return model.model_validate(data)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        said = {_location(one) for one in errors}
        faults = [
            _fault(model, one, layers)
            for one in errors
            if _of_all_feeds(_location(one)) not in said
        ]
        raise FixTheMapping(list(dict.fromkeys(faults))) from None


def _without_removed_feeds(data: dict[str, Any], layers: Sequence[YamlFile]) -> dict[str, Any]:
    """A template's `precedence` without the feeds that a later layer removed with null."""
    ranked, feeds = data.get("precedence"), data.get("feeds")
    if not isinstance(ranked, dict) or not isinstance(feeds, dict):
        return data
    given = [layer.data.get("feeds") for layer in layers]
    removed = {
        name for one in given if isinstance(one, dict) for name in one if one[name] is None
    } - feeds.keys()
    kept = {
        entity: [name for name in names if name not in removed]
        for entity, names in ranked.items()
        if isinstance(names, list)
    }
    return {**data, "precedence": {**ranked, **kept}}


def _with_feed_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """Give every feed what the mapping says for all of them; what a feed says itself wins."""
    feeds = data.get("feeds")
    shared = {k: v for k, v in data.items() if k in _FOR_EVERY_FEED and isinstance(v, dict)}
    if not isinstance(feeds, dict) or not shared:
        return data
    whole = {n: merged([shared, f]) if isinstance(f, dict) else f for n, f in feeds.items()}
    return {**data, "feeds": whole}


def _with_layouts(data: dict[str, Any]) -> dict[str, Any]:
    """Complete every layout of every feed from the feed it belongs to."""
    feeds = data.get("feeds")
    if not isinstance(feeds, dict):
        return data
    whole: dict[str, Any] = {}
    for name, feed in feeds.items():
        if isinstance(feed, dict) and isinstance(feed.get("layouts"), list):
            base = {key: value for key, value in feed.items() if key != "layouts"}
            layouts = [
                {
                    **{k: v for k, v in one.items() if k in _LAYOUT_KEYS},
                    "feed": merged([base, {k: v for k, v in one.items() if k not in _LAYOUT_KEYS}]),
                }
                if isinstance(one, dict)
                else one
                for one in feed["layouts"]
            ]
            feed = {**base, "layouts": layouts}
        whole[name] = feed
    return {**data, "feeds": whole}


def place_of(layers: Sequence[YamlFile], key: Sequence[str | int]) -> str:
    """`file:line:column` of a key path, in the topmost layer that has the most of it."""
    written = _as_written(key)
    best = max(reversed(layers), key=lambda layer: layer.depth_of(written))
    if best.depth_of(written) == 0:  # nobody says it: the mapping, second from the top, should
        best = layers[-2] if len(layers) > 1 else layers[-1]
        return f"{best.shown}:1:1"
    line, column = best.line_of(written) or (1, 1)
    return f"{best.shown}:{line}:{column}"


def _as_written(key: Sequence[str | int]) -> KeyPath:
    """A model's key path as the YAML has it: no `feed` inside a layout, no alias of `from`."""
    parts: list[str | int] = []
    for part in key:
        if part == "feed" and len(parts) >= 2 and parts[-2] == "layouts":
            continue
        parts.append("from" if part == "from_" else part)
    return tuple(parts)


def _fault(model: type[BaseModel], error: Any, layers: Sequence[YamlFile]) -> Fault:
    location = _location(error)
    key = ".".join(str(part) for part in _as_written(location))
    text, hint = error["msg"], ""
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, 1)
        hint = f"Did you mean `{near[0]}`?" if near else f"Known keys: {', '.join(known)}."
        text = "there is no such key."
    elif error["type"] == "missing":
        text = "this key is required and missing."
    else:
        text = text.removeprefix("Value error, ")
        text = text if text.endswith(".") else f"{text}."
    return Fault(
        "MAPPING_INVALID", f"{key}: {text}" if key else text, place_of(layers, location), hint
    )


def _location(error: Any) -> KeyPath:
    return tuple(part for part in error["loc"] if not _is_type_tag(part))


def _of_all_feeds(location: KeyPath) -> KeyPath | None:
    """`feeds.<name>.values.…` as `values.…`: where it is said when it is said for every feed."""
    if location[:1] != ("feeds",):
        return None
    inside = location[5:] if location[2:3] == ("layouts",) else location[2:]
    return inside if inside and inside[0] in _FOR_EVERY_FEED else None


def _is_type_tag(part: str | int) -> bool:
    """Parts that pydantic adds for a union's branch or a validator, which no file holds."""
    return isinstance(part, str) and (
        part.startswith(("function-", "tuple[", "literal[")) or part in ("str", "bool", "[key]")
    )


def _fields_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Names of the keys that may stand at a key path of a model."""
    from typing import get_args

    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = {(f.alias or n): f for n, f in current.model_fields.items()}
            current = fields[str(part)].annotation if str(part) in fields else None
        else:
            inner = [a for a in get_args(current) if a is not Ellipsis]
            current = inner[-1] if inner else None
        while current is not None and not isinstance(current, type) and get_args(current):
            arguments = get_args(current)
            if getattr(current, "__metadata__", None):
                current = arguments[0]
            elif models := [
                a for a in arguments if isinstance(a, type) and issubclass(a, BaseModel)
            ]:
                if getattr(current, "__origin__", None) in (dict, tuple):
                    break
                current = models[0]
            else:
                break
    if isinstance(current, type) and issubclass(current, BaseModel):
        return [field.alias or name for name, field in current.model_fields.items()]
    return []


def faults_of_all(
    project: Project, client_ids: Sequence[str] = ()
) -> Iterator[tuple[str, list[Fault]]]:
    """Every client with the faults of its mapping (an empty list when it is in order).

    Without `client_ids` also every file among the mappings that no client can have, by its name.
    """
    if not client_ids:
        yield from ((name, [fault]) for name, fault in project.misnamed_mappings().items())
    for client_id in client_ids or project.client_ids():
        try:
            project.resolve(client_id)
            yield client_id, []
        except EtlError as error:
            yield client_id, list(error.faults)
