"""The sentence below a field of a settings class, read from the source when somebody asks for it.

Pydantic reads them as the class is made (`use_attribute_docstrings`): every command would parse the source of
every settings class at its start, for sentences that only a mistake and the documentation show.
"""

import ast
import inspect
from collections.abc import Mapping
from copy import copy
from itertools import pairwise
from textwrap import dedent

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def described_fields(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """The model's fields in their order, each described by the sentence below it, where it has one."""
    sentences: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each.__module__.partition(".")[0] != "pydantic":
            sentences |= _sentences(each)
    fields = {name: copy(field) for name, field in model.model_fields.items()}
    for name, field in fields.items():
        field.description = field.description or sentences.get(name)
    return fields


def _sentences(model: type[BaseModel]) -> dict[str, str]:
    [parsed] = ast.parse(dedent(inspect.getsource(model))).body
    assert isinstance(parsed, ast.ClassDef)  # noqa: S101  the source of a class
    blocks = [parsed.body, *(each.orelse for each in parsed.body if isinstance(each, ast.If))]
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for block in blocks
        for field, below in pairwise(block)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(below.value.value, str)
    }
