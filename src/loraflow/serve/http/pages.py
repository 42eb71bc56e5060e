"""What can be asked besides answers: models, feedback, health, metrics."""

import asyncio
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from loraflow.serve.http.body import checked, read_object
from loraflow.serve.http.desk import Desk
from loraflow.serve.http.documented import body_of
from loraflow.serve.http.errors import ApiError, timed_out, unknown_model
from loraflow.serve.http.guard import HEALTH, METRICS
from loraflow.serve.http.schema import FeedbackRequest
from loraflow.serve.names.names import Named

router = APIRouter()


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """List the names that a request may have as `model`, and the adapter that each means now."""
    desk: Desk = request.app.state.desk
    return {"object": "list", "data": [_described(desk, named) for named in desk.names.listed()]}


@router.get("/v1/models/{name:path}")
async def show_model(request: Request, name: str) -> dict[str, Any]:
    """Show one of them."""
    desk: Desk = request.app.state.desk
    listed = desk.names.listed()
    for named in listed:
        if named.name == name:
            return _described(desk, named)
    raise unknown_model(name, [named.name for named in listed])


@router.post("/v1/feedback", openapi_extra=body_of(FeedbackRequest))
async def rate(request: Request) -> dict[str, Any]:
    """Note what a user says of an answer: up or down, a text, or a better answer."""
    desk: Desk = request.app.state.desk
    seconds = desk.config.limits.seconds
    try:
        async with asyncio.timeout(seconds):
            value = await read_object(request, desk.config.limits.body_bytes)
            said = checked(FeedbackRequest, value)
            is_known = desk.log is not None and await asyncio.to_thread(
                desk.log.rate, said.id, said.rating, said.text or "", said.better or ""
            )
    except TimeoutError:
        raise timed_out(seconds) from None
    if not is_known:
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            "The log has no answer of this id"
            + ("." if desk.log else ": this server keeps none (serve.log=false)."),
            param="id",
            code="exchange_not_found",
        )
    return {"object": "feedback", "id": said.id, "rating": said.rating}


@router.get(HEALTH)
async def tell_health(request: Request) -> Response:
    """Tell whether new requests are taken: 200, or 503 where none would be answered.

    No names and no load: this page needs no key.
    """
    desk: Desk = request.app.state.desk
    status = "ok" if desk.engine.is_open else "failed"
    status = "stopping" if desk.admission.is_stopping else status
    state = None if desk.follower is None else desk.follower.state
    body = {
        "status": status,
        "registry": None if state is None else {"up": state.up, "seen": state.seen},
    }
    is_well = status == "ok"
    return JSONResponse(
        body, status_code=HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
    )


@router.get(METRICS)
async def show_metrics(request: Request) -> Response:
    """Show what was counted, in Prometheus' text format."""
    desk: Desk = request.app.state.desk
    return Response(desk.metrics.page(), media_type=CONTENT_TYPE_LATEST)


def _described(desk: Desk, named: Named) -> dict[str, Any]:
    adapter = named.adapter
    return {
        "id": named.name,
        "object": "model",
        "created": int(desk.opened_at),
        "owned_by": "loraflow",
        "loraflow": {
            "version": adapter.version,
            "run_id": adapter.run_id,
            "adapter": adapter.digest,
        },
    }
