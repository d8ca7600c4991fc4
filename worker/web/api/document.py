"""The OpenAPI document (3.1) of a table of operations."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from campaigns.domain.access import SCOPE_MEANINGS
from campaigns.domain.webhooks import EventType
from worker.shapes import event_shape
from worker.web.api import problems
from worker.web.api.operations import FORM, JSON, Asked, Operation
from worker.web.api.problems import Kind, Problem

VERSION = "1"
_REFERENCE = "#/components/schemas/{model}"
_ABOUT = """Bulk SMS campaigns: submitted, followed, stopped, looked up.

Every request carries a key: `Authorization: Bearer cmp_…`. A key has scopes, and sees the campaigns of its
owner. Every refusal is `application/problem+json` (RFC 9457). Lists are `{"items": […], "next_cursor": …}`:
ask again with `cursor` until it is null."""

Schemas = dict[tuple[Any, JsonSchemaMode], dict[str, Any]]


def document(operations: Sequence[Operation], *, server: str | None = None) -> dict[str, Any]:
    """The document, as plain values for `json`. Takes the address at which the API is reached, if known."""
    references, schemas = _schemas(operations)
    paths: dict[str, Any] = {}
    for operation in operations:
        entry = _entry(operation, references, schemas, _links(operation, operations))
        paths.setdefault(operation.path, {})[operation.method.lower()] = entry
    return {
        "openapi": "3.1.0",
        "info": {"title": "campaigns", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": server or "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "webhooks": {event: _told(event, references) for event in EventType},
        "components": {
            "schemas": schemas,
            "responses": {kind.name: _problem(kind, references) for kind in Kind},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Scopes: "
                    + "; ".join(f"`{scope}`: {meaning}" for scope, meaning in SCOPE_MEANINGS.items()),
                }
            },
        },
    }


_EXAMPLES = {
    "text/csv": "phone,name\n+37060000001,Ona\n",
    "application/jsonl": '{"phone": "+37060000001", "name": "Ona"}\n',
    "application/x-ndjson": '{"phone": "+37060000001", "name": "Ona"}\n',
}
"""Of bodies that are streamed, by their media type."""


def example(model: type[Asked]) -> dict[str, Any]:
    """What may be sent, of the fields that have an example."""
    properties = model.model_json_schema()["properties"]
    return {name: each["examples"][0] for name, each in properties.items() if "examples" in each}


def _schemas(operations: Iterable[Operation]) -> tuple[Schemas, dict[str, Any]]:
    wanted: dict[tuple[Any, JsonSchemaMode], None] = {(Problem, "serialization"): None}
    wanted |= {(event_shape(event), "serialization"): None for event in EventType}
    for operation in operations:
        wanted |= {(model, "validation"): None for model in operation.parts().values() if model}
        if operation.form is not None:
            wanted[operation.form, "validation"] = None
        wanted |= {(model, "serialization"): None for model in operation.answers.values()}
    in_order = sorted(wanted, key=lambda each: (each[0].__name__, each[1]))
    references, schema = models_json_schema(in_order, ref_template=_REFERENCE)
    found: dict[str, Any] = schema.get("$defs", {})
    return references, found


def _told(event: EventType, references: Schemas) -> dict[str, Any]:
    """What a webhook is sent for an event."""
    shape = event_shape(event)
    headers = {
        "webhook-id": "The event's id: the same on every attempt.",
        "webhook-timestamp": "Of this attempt, in seconds since 1970.",
        "webhook-signature": "By Standard Webhooks 1.0.0, v1; two of them while a secret is rotated.",
    }
    this_type = {"properties": {"type": {"const": event.value}}}
    return {
        "post": {
            "operationId": f"told {event.value}",
            "summary": (shape.__doc__ or "").strip().splitlines()[0],
            "security": [],
            "parameters": [
                {
                    "name": name,
                    "in": "header",
                    "required": True,
                    "description": description,
                    "schema": {"type": "string"},
                }
                for name, description in headers.items()
            ],
            "requestBody": {
                "required": True,
                "content": {JSON: {"schema": {"allOf": [references[shape, "serialization"], this_type]}}},
            },
            "responses": {
                "2XX": {"description": "Taken. Anything else, also a redirect, is tried again."},
                "410": {"description": "Wanted no more: the webhook is disabled."},
            },
        }
    }


def _links(operation: Operation, operations: Sequence[Operation]) -> dict[str, Any]:
    """What goes on from its answer: operations on what it made, on the first item of its list, and those that
    it names.
    """
    found = {name: dict(parameters) for name, parameters in operation.links.items()}
    if 201 in operation.answers:
        pointer = ""
    elif operation.method == "GET" and any(
        "items" in each.model_fields for each in operation.answers.values()
    ):
        pointer = "/items/0"
    else:
        pointer = None
    own = dict.fromkeys(re.findall(r"\{(\w+)\}", operation.path))
    for other in operations if pointer is not None else ():
        item = re.fullmatch(re.escape(operation.path) + r"/\{(\w+)\}(/[^{]*)?", other.path)
        if item is not None:
            found[other.id] = {name: f"$request.path.{name}" for name in own}
            found[other.id][item[1]] = f"$response.body#{pointer}/{item[1]}"
    return {name: {"operationId": name, "parameters": parameters} for name, parameters in found.items()}


def _entry(
    operation: Operation, references: Schemas, schemas: dict[str, Any], links: dict[str, Any]
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": f"{operation.description}\n\nScope: `{operation.scope}`.".strip(),
        "security": [{"key": [str(operation.scope)]}],
    }
    if parameters := _parameters(operation, references, schemas):
        entry["parameters"] = parameters
    content: dict[str, Any] = {}
    if operation.body is not None:
        content[JSON] = {
            "schema": references[operation.body, "validation"],
            "example": example(operation.body),
        }
    for media_type, what in operation.streams_in.items():
        if operation.form is not None and media_type == FORM:
            content[media_type] = {"schema": references[operation.form, "validation"]}
            continue
        content[media_type] = {"schema": {"type": "string", "description": what}}
        if media_type in _EXAMPLES:
            content[media_type]["example"] = _EXAMPLES[media_type]
    if content:
        entry["requestBody"] = {"required": not operation.body_is_optional, "content": content}
    entry["responses"] = _responses(operation, references, links)
    return entry


def _parameters(operation: Operation, references: Schemas, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    given: tuple[tuple[Literal["path", "query", "header"], type[BaseModel] | None], ...] = (
        ("path", operation.path_model),
        ("query", operation.query),
        ("header", operation.headers),
    )
    for where, model in given:
        if model is None:
            continue
        whole = schemas[references[model, "validation"]["$ref"].rpartition("/")[2]]
        for name, schema in whole["properties"].items():
            is_required = where == "path" or name in whole.get("required", ())
            found.append({"name": name, "in": where, "required": is_required, "schema": schema})
    return found


def _responses(operation: Operation, references: Schemas, links: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, model in operation.answers.items():
        responses[str(status)] = {
            "description": (model.__doc__ or model.__name__).strip().splitlines()[0],
            "content": {JSON: {"schema": references[model, "serialization"]}},
        }
        if links:
            responses[str(status)]["links"] = links
    if operation.streams_out:
        stream = {media_type: {"schema": {"type": "string"}} for media_type in operation.streams_out}
        answer = responses.setdefault("200", {"description": "The whole, streamed.", "content": {}})
        answer["content"] |= stream
    if operation.no_content:
        responses["204"] = {"description": operation.no_content}
    for kind in operation.all_problems():
        key = str(kind.status)
        if key in responses:  # two problems of one status: told apart by `type`
            responses[key] = responses[key] | {
                "description": f"{responses[key].get('description', '')} or {kind.title}".strip(),
                "content": {problems.MEDIA_TYPE: {"schema": references[Problem, "serialization"]}},
            }
        else:
            responses[key] = _problem(kind, references)
    return responses


def _problem(kind: Kind, references: Schemas) -> dict[str, Any]:
    said: dict[str, Any] = {
        "description": kind.title,
        "content": {
            problems.MEDIA_TYPE: {
                "schema": references[Problem, "serialization"],
                "example": {"type": kind.type, "title": kind.title, "status": kind.status},
            }
        },
    }
    if kind in {Kind.TOO_MANY_REQUESTS, Kind.BUSY, Kind.DATABASE_AWAY}:
        seconds = {"type": "integer", "description": "Seconds."}
        said["headers"] = {"Retry-After": {"schema": seconds}}
    return said
