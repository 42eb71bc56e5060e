"""One exchange: a request on its way through the engine."""

import time
import uuid
from dataclasses import dataclass, field

from loraflow.serve.adapters.adapter import Adapter
from loraflow.serve.http.answer import Answer
from loraflow.serve.http.choice import Choice
from loraflow.serve.http.schema import ChatRequest
from loraflow.serve.traffic.log import Exchange


@dataclass(frozen=True)
class Arrival:
    """When a request came in."""

    at: float = field(default_factory=time.time)  # Unix time
    clock: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Talk:
    """A request, who answers it, and what was answered so far."""

    request: ChatRequest
    choice: Choice
    adapter: Adapter
    prompt_tokens: int
    answer: Answer
    arrival: Arrival
    shadow_of: str | None = None  # id of the exchange that the user saw
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")

    @property
    def finish(self) -> str:
        """How it ended; what nobody waited for was cancelled."""
        return self.answer.finish or "cancelled"

    @property
    def first_token_seconds(self) -> float | None:
        """From the request to its first token; None: there was none."""
        first = self.answer.first_at
        return None if first is None else first - self.arrival.clock

    def exchange(self) -> Exchange:
        """Return it as the log has it, as it is now."""
        seconds = time.monotonic() - self.arrival.clock
        first = self.first_token_seconds
        return Exchange(
            id=self.id,
            at=self.arrival.at,
            model=self.choice.asked,
            arm=self.choice.arm,
            adapter=self.adapter.digest,
            version=self.adapter.version,
            run_id=self.adapter.run_id,
            user=self.choice.user,
            messages=self.request.conversation(),
            answer=self.answer.text,
            prompt_tokens=self.prompt_tokens,
            answer_tokens=self.answer.tokens,
            first_token_seconds=seconds if first is None else first,  # so long at least
            seconds=seconds,
            finish=self.finish,
            shadow_of=self.shadow_of,
            deal=self.choice.deal,
        )
