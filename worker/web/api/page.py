"""`/docs`: the document as one page, made of the same table. Plain HTML: no script, no other host."""

import json
import re
import shlex
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from html import escape
from typing import Any

from worker.web.api.document import example
from worker.web.api.operations import JSON, Operation

_STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d5d9de, #3a4048); --soft: light-dark(#f4f6f8, #1d2126) }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem; }
h1, h2, h3 { line-height: 1.2; }
h2 { border-top: 1px solid var(--line); margin-top: 3rem; padding-top: 1rem; }
h3 { margin-top: 2.5rem; }
code, pre { background: var(--soft); font: 0.9em ui-monospace, monospace; overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: 0.75rem; white-space: pre-wrap; }
table { border-collapse: collapse; width: 100%; }
caption { font-weight: 600; padding: 0.75rem 0 0.25rem; text-align: left; }
th, td { border-bottom: 1px solid var(--line); overflow-wrap: anywhere; padding: 0.3rem 0.5rem 0.3rem 0;
  text-align: left; vertical-align: top; }
nav ul { columns: 20rem; list-style: none; padding: 0; }
""".strip()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of the page: its own style and nothing else."""


def page(operations: Sequence[Operation], told: Mapping[str, Any]) -> str:
    """The page. Takes the document of the operations."""
    tags = list(dict.fromkeys(operation.tag for operation in operations))
    (server,) = told["servers"]
    address = "http://127.0.0.1:8026" if server["url"] == "/" else server["url"]
    schemas: Mapping[str, Any] = told["components"]["schemas"]
    title = f"{told['info']['title']}: the HTTP API"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>",
        _paragraphs(told["info"]["description"]),
        _paragraphs(told["components"]["securitySchemes"]["key"]["description"]),
        '<p>For programs: <a href="/openapi.json">/openapi.json</a>, OpenAPI 3.1.</p><nav>',
    ]
    for tag in tags:
        links = (
            f'<li><a href="#{each.id}">{escape(each.summary)}</a></li>'
            for each in operations
            if each.tag == tag
        )
        parts.append(f"<h2>{escape(tag)}</h2><ul>{''.join(links)}</ul>")
    parts.append("</nav>")
    for tag in tags:
        parts.append(f"<h2>{escape(tag)}</h2>")
        parts += [
            _operation(each, told["paths"][each.path][each.method.lower()], schemas, address)
            for each in operations
            if each.tag == tag
        ]
    parts.append("<h2>What webhooks are sent</h2>")
    parts.append(_table("", ("event", "body", "when"), map(_event, told["webhooks"].items())))
    parts.append("<h2>Objects</h2>")
    parts += [_object(name, schema) for name, schema in sorted(schemas.items())]
    parts.append("</main></body></html>")
    return "\n".join(parts)


def _operation(
    operation: Operation, entry: Mapping[str, Any], schemas: Mapping[str, Any], address: str
) -> str:
    rate = operation.rate
    parts = [
        f'<article><h3 id="{operation.id}">{escape(operation.summary)}</h3>',
        f"<p><code>{operation.method} {escape(operation.path)}</code></p>",
        _paragraphs(operation.description),
        f"<p>Scope <code>{operation.scope}</code>. A key may ask {rate.per_second:g} times a second, "
        f"{rate.burst} times at once after a pause.</p>",
        f"<pre>{escape(curl(operation, address))}</pre>",
    ]
    if parameters := entry.get("parameters"):
        rows = (
            _field(each["name"], each["schema"], is_required=each["required"], where=each["in"])
            for each in parameters
        )
        parts.append(_table("Parameters", ("name", "in", "type", "about"), rows))
    if operation.body is not None:
        schema = schemas[_name(entry["requestBody"]["content"][JSON]["schema"]["$ref"])]
        parts.append(_fields(f"Body: {JSON}, at most {operation.body_bytes:,} bytes", schema))
    if operation.streams_in:
        rows = ((_code(kind), _inline(what)) for kind, what in operation.streams_in.items())
        parts.append(_table("Or, of any size", ("body", "about"), rows))
    answers = (
        (_code(status), _contents(said.get("content", {})), _inline(said["description"]))
        for status, said in sorted(entry["responses"].items())
    )
    parts.append(_table("Answers", ("status", "body", "about"), answers))
    return "\n".join([*parts, "</article>"])


def curl(operation: Operation, address: str) -> str:
    """A command that asks for it, with the document's examples."""
    path = operation.path
    for name, value in example(operation.path_model).items() if operation.path_model is not None else ():
        path = path.replace(f"{{{name}}}", str(value))
    parts = ["curl", '-H "Authorization: Bearer $CAMPAIGNS_API_KEY"', shlex.quote(address + path)]
    if operation.method not in {"GET", "POST"} or (operation.method == "POST" and operation.body is None):
        parts.insert(1, f"-X {operation.method}")
    if operation.body is not None:
        body = json.dumps(example(operation.body), ensure_ascii=False)
        parts.append(f"-H 'Content-Type: {JSON}' -d {shlex.quote(body)}")
    return " ".join(parts)


def _event(told: tuple[str, Any]) -> tuple[str, ...]:
    event, entry = told
    schema = entry["post"]["requestBody"]["content"][JSON]["schema"]["allOf"][0]
    return _code(event), _type(schema), _inline(entry["post"]["summary"])


def _contents(content: Mapping[str, Any]) -> str:
    return "<br>".join(
        f"{_code(kind)}: {_type(each['schema'])}" if "$ref" in each["schema"] else _code(kind)
        for kind, each in content.items()
    )


def _object(name: str, schema: Mapping[str, Any]) -> str:
    about = _paragraphs(schema.get("description", ""))
    listed = f"<p>{_type(schema)}</p>" if "properties" not in schema else _fields("", schema)
    return f'<article><h3 id="object-{escape(name)}">{escape(name)}</h3>{about}{listed}</article>'


def _fields(caption: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = (
        _field(name, each, is_required=name in required)
        for name, each in schema.get("properties", {}).items()
    )
    return _table(caption, ("name", "type", "about"), rows)


def _field(
    name: str, schema: Mapping[str, Any], *, is_required: bool, where: str | None = None
) -> tuple[str, ...]:
    bounds = [
        f"{bound} {schema[key]}"
        for key, bound in (("minimum", "at least"), ("maximum", "at most"), ("maxLength", "at most"))
        if key in schema
    ]
    if schema.get("default") not in (None, [], ()):
        bounds.append(f"else {json.dumps(schema['default'])}")
    about = " ".join([_inline(schema.get("description", "")), *(f"({_inline(each)})" for each in bounds)])
    named = _code(name) + (" required" if is_required else "")
    return (named, *([] if where is None else [where]), _type(schema), about.strip())


def _type(schema: Mapping[str, Any]) -> str:
    """What a value is, in a few words, with links to objects."""
    if "$ref" in schema:
        name = escape(_name(schema["$ref"]))
        return f'<a href="#object-{name}">{name}</a>'
    if choices := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(each) for each in choices))
    if "const" in schema or "enum" in schema:
        return ", ".join(_code(str(each)) for each in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any value")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return escape(str(schema.get("format", kind)))


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Takes cells as HTML."""
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _inline(text: str) -> str:
    """Text with `code` in it, as HTML."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_inline(each)}</p>" for each in text.split("\n\n") if each.strip())
