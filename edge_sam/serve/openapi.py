"""The OpenAPI document, made from the operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from edge_sam.serve.errors import ErrorAnswer
from edge_sam.serve.operations import BYTES, JSON, PHOTOGRAPH, Operation
from edge_sam.version import __version__

_EVERY_ERROR = (400, 401, 403)
"""Statuses of errors that any operation may answer with."""
_WORDS = {
    400: "The request is damaged, or for another host",
    401: "The API key is missing or wrong",
    403: "A page of another site asks",
    404: "Not here",
    408: "The body came too slowly",
    413: "Too large",
    415: "Not a photograph",
    422: "Not possible as asked",
    429: "Busy; Retry-After says when to ask again",
    503: "Cannot answer now",
    504: "It took too long",
}


def openapi(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the document for some operations."""
    types: dict[Any, None] = {ErrorAnswer: None}
    for operation in operations:
        types.update(dict.fromkeys((operation.query, operation.body, operation.answer, operation.failure)))
    structs = [kind for kind in types if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    _, components = msgspec.json.schema_components(structs, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "edge_sam", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"key": []}],
    }


def _described(operation: Operation, components: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    parameters += [
        {"name": name, "in": "query", "schema": schema}
        for name, schema in components[operation.query.__name__]["properties"].items()
    ]
    good: dict[str, Any] = {"description": "Done"}
    if operation.answer is not None or operation.media != JSON:
        schema = {} if operation.answer is None else _schema(operation.answer)
        good["content"] = {operation.media: {"schema": schema} if schema else {}}
    responses = {str(operation.status): good}
    if operation.status == 201:
        responses["200"] = good
    failures = [_schema(kind) for kind in dict.fromkeys((ErrorAnswer, operation.failure))]
    failed = failures[0] if len(failures) == 1 else {"anyOf": failures}
    checked = (422,) if operation.body or operation.query.__struct_fields__ else ()
    for status in sorted({*_EVERY_ERROR, *checked, *operation.errors}):
        responses[str(status)] = {"description": _WORDS[status], "content": {JSON: {"schema": failed}}}
    described: dict[str, Any] = {
        "operationId": operation.handle.__name__,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": parameters,
        "responses": responses,
    }
    if operation.body == PHOTOGRAPH:
        form = {
            "type": "object",
            "properties": {"image": {"type": "string", "format": "binary"}},
            "required": ["image"],
        }
        described["requestBody"] = {
            "required": True,
            "content": {"image/*": {}, BYTES: {}, "multipart/form-data": {"schema": form}},
        }
    elif operation.body is not None:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": _schema(operation.body)}}}
    return described


def _schema(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
    return schema
