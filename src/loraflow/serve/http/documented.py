"""What /openapi.json says of bodies, which the app reads by itself to bound them."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

_PLACE = "#/components/schemas/{model}"


def body_of(schema: type[BaseModel]) -> dict[str, Any]:
    """Return the words for a route whose body is `schema`."""
    content = {"application/json": {"schema": {"$ref": _PLACE.format(model=schema.__name__)}}}
    return {"requestBody": {"required": True, "content": content}}


def document(app: FastAPI, *schemas: type[BaseModel]) -> None:
    """Let the app's description have the `schemas` that its routes refer to."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=app.version, routes=app.routes)
            _, described = models_json_schema(
                [(schema, "validation") for schema in schemas], ref_template=_PLACE
            )
            components = found.setdefault("components", {})
            components["schemas"] = components.get("schemas", {}) | described["$defs"]
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # as FastAPI's documentation has it
