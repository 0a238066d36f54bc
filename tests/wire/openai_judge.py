"""Holds Realtime messages against the types of the `openai` package, strictly.

    python openai_judge.py client|server FILE

FILE has one JSON event per line. Every event must be of a type of the union, with no unknown key at any depth, no
required key missing and no value of another type. Prints each violation and how many events of which type it saw.
"""

import collections
import json
import sys
import types
import typing

from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel, ValidationError

# The session object carries these beside what a client may set; the package has one type for both.
SERVER_ONLY = {"RealtimeSessionCreateRequest": {"id", "object", "expires_at"}}


def violations(kind, value, path):
    """What keeps `value` from being exactly a `kind`."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return violations(typing.get_args(kind)[0], value, path)
    if kind is typing.Any or kind is object:
        return []
    if origin in (typing.Union, types.UnionType):
        return of_union(typing.get_args(kind), value, path)
    if origin is typing.Literal:
        return [] if value in typing.get_args(kind) else [f"{path}: {value!r} is none of {typing.get_args(kind)}"]
    if origin in (list, typing.List):
        if not isinstance(value, list):
            return [f"{path}: {value!r} is no list"]
        (inner,) = typing.get_args(kind)
        return [v for n, item in enumerate(value) for v in violations(inner, item, f"{path}[{n}]")]
    if origin in (dict, typing.Dict):
        if not isinstance(value, dict):
            return [f"{path}: {value!r} is no object"]
        _, inner = typing.get_args(kind)
        return [v for key, item in value.items() for v in violations(inner, item, f"{path}.{key}")]
    if kind is type(None):
        return [] if value is None else [f"{path}: {value!r} is not null"]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return of_model(kind, value, path)
    if kind is float:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    elif kind is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif kind in (str, bool):
        fits = isinstance(value, kind)
    else:
        return [f"{path}: the judge does not know {kind!r}"]
    return [] if fits else [f"{path}: {value!r} is no {kind.__name__}"]


def of_model(model, value, path):
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is no object"]
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    unknown = set(value) - set(fields) - SERVER_ONLY.get(model.__name__, set())
    found = [f"{path}.{key}: unknown to {model.__name__}" for key in sorted(unknown)]
    for key, field in fields.items():
        if key in value:
            found += violations(field.annotation, value[key], f"{path}.{key}")
        elif field.is_required():
            found.append(f"{path}.{key}: missing from {model.__name__}")
    return found


def of_union(kinds, value, path):
    """The violations of the member that comes nearest."""
    if isinstance(value, dict) and "type" in value:
        # A member whose own type tag is another one is not near at all.
        tagged = [kind for kind in kinds if tag_fits(kind, value["type"])]
        kinds = tagged or kinds
    if value is not None:
        kinds = [kind for kind in kinds if kind is not type(None)]
    return min((violations(kind, value, path) for kind in kinds), key=len)


def tag_fits(kind, tag):
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)) or "type" not in kind.model_fields:
        return False
    return not violations(kind.model_fields["type"].annotation, tag, "")


def judge(side, lines):
    union = {"client": RealtimeClientEvent, "server": RealtimeServerEvent}[side]
    members = typing.get_args(typing.get_args(union)[0])
    seen, found = collections.Counter(), []
    for number, line in enumerate(lines, 1):
        event = json.loads(line)
        kind = next((member for member in members if tag_fits(member, event["type"])), None)
        if kind is None:
            found.append(f"event {number}: {event['type']!r} is in no union")
            continue
        seen[event["type"]] += 1
        found += [f"event {number}: {violation}" for violation in violations(kind, event, event["type"])]
        try:
            kind.model_validate(event, strict=True)
        except ValidationError as error:
            found.append(f"event {number}: {error}")
    return seen, found


def main():
    side, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        seen, found = judge(side, file)
    for violation in found:
        print("VIOLATION", violation)
    for kind, count in sorted(seen.items()):
        print("seen", count, kind)
    sys.exit(1 if found or not seen else 0)


if __name__ == "__main__":
    main()
