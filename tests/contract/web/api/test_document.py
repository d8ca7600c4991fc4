"""The document: whole, in form, and the same as what is served."""

import inspect
import json
import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from campaigns.domain.access import Scope
from tests.contract.web.api.conftest import Api
from worker.web.api.document import document, example
from worker.web.api.operations import Call
from worker.web.api.table import OPERATIONS

DOCUMENT = document(OPERATIONS)


def references(part: Any) -> list[str]:
    """Every $ref in it."""
    if isinstance(part, dict):
        here = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return here + [found for value in part.values() for found in references(value)]
    return [found for value in part for found in references(value)] if isinstance(part, list) else []


def test_it_is_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)
    assert found
    for reference in set(found):
        place: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_every_route_is_documented_once() -> None:
    ids = [operation.id for operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    routes = {(operation.method, operation.path) for operation in OPERATIONS}
    assert len(routes) == len(OPERATIONS)
    documented = {(method.upper(), path) for path, entry in DOCUMENT["paths"].items() for method in entry}
    assert documented == routes


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_an_operation_declares_what_its_handler_takes(operation: Any) -> None:
    """By name and type: what is documented is what is done."""
    parameters = dict(inspect.signature(operation.handler, eval_str=True).parameters)
    assert parameters.pop("call").annotation is Call
    declared = operation.parts()
    if operation.streams_in:
        declared.setdefault("body", None)
    assert set(parameters) == set(declared)
    for name, model in declared.items():
        annotation = parameters[name].annotation
        may_be_none = operation.body_is_optional or operation.streams_in
        assert annotation == (model if name != "body" or not may_be_none else annotation)
        assert model is None or model.__name__ in str(annotation)
    named = set(re.findall(r"\{(\w+)\}", operation.path))
    assert named == set(operation.path_model.model_fields if operation.path_model else ())
    assert operation.answers or operation.streams_out


def test_every_scope_is_explained_and_every_parameter_typed() -> None:
    explained = DOCUMENT["components"]["securitySchemes"]["key"]["description"]
    assert all(f"`{scope}`" in explained for scope in Scope)
    for entry in (each for path in DOCUMENT["paths"].values() for each in path.values()):
        for parameter in entry.get("parameters", ()):
            assert parameter["schema"].keys() & {"type", "anyOf", "$ref", "allOf", "enum"}, parameter


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.body], ids=lambda each: each.id)
def test_the_example_of_a_body_is_taken(operation: Any) -> None:
    operation.body.model_validate_json(json.dumps(example(operation.body)))


async def test_it_is_served_without_a_key(api: Api) -> None:
    async with api.web.client.get(f"{api.web.url}/openapi.json") as response:
        served = await response.json()
    assert response.status == 200
    assert served["openapi"] == "3.1.0"
    assert served["paths"] == DOCUMENT["paths"]
