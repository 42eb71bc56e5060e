"""What is counted, for Prometheus. Names in labels are the server's own, so there are few."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from loraflow.serve.engine.engine import Engine
from loraflow.serve.http.errors import CLIENT_GONE
from loraflow.serve.names.follow import Follower
from loraflow.serve.names.names import Names
from loraflow.serve.traffic.log import TrafficLog

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_BUSY = 429


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(
        self, engine: Engine, names: Names, follower: Follower | None, log: TrafficLog | None
    ) -> None:
        """Count from zero; what the parts know themselves is read when it is asked for."""
        own = self.registry = CollectorRegistry()
        self._requests = Counter(
            "loraflow_requests", "Chat requests by model name and status", ["name", "status"],
            registry=own,
        )  # fmt: skip
        self._seconds = Histogram(
            "loraflow_request_seconds", "From a request to the end of its answer", ["name"],
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self.first_token = Histogram(
            "loraflow_first_token_seconds", "From a request to its first token", ["name"],
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self.answers = Counter(
            "loraflow_answers", "Answers by model name and how they ended", ["name", "finish"],
            registry=own,
        )  # fmt: skip
        self.tokens = Counter(
            "loraflow_tokens", "Tokens read and written", ["name", "kind"], registry=own
        )
        self.shadows = Counter(
            "loraflow_shadows", "Shadow answers: answered, dropped or failed", ["outcome"],
            registry=own,
        )  # fmt: skip
        self._busy = Counter("loraflow_queue_full", "Requests refused with 429", registry=own)
        self._gone = Counter("loraflow_disconnects", "Clients that left early", registry=own)
        own.register(_Now(engine, names, follower, log))

    def count(self, name: str, status: int, seconds: float) -> None:
        """Count a request; status 0: nobody was there to answer to."""
        self._requests.labels(name, str(status or CLIENT_GONE)).inc()
        self._seconds.labels(name).observe(seconds)
        if status == _BUSY:
            self._busy.inc()

    def count_gone(self) -> None:
        """Count a client that left before its answer was whole."""
        self._gone.inc()

    def page(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Now(Collector):
    """What is so at the moment of asking."""

    def __init__(
        self, engine: Engine, names: Names, follower: Follower | None, log: TrafficLog | None
    ) -> None:
        self._engine = engine
        self._names = names
        self._follower = follower
        self._log = log

    def collect(self) -> Iterator[Metric]:
        answering, waiting = self._engine.counts()
        yield GaugeMetricFamily("loraflow_answering", "Requests being answered", answering)
        yield GaugeMetricFamily("loraflow_waiting", "Requests that wait", waiting)
        yield from self._registry()
        loaded = {named.adapter.digest for named in self._names.listed() if named.adapter.folder}
        yield GaugeMetricFamily("loraflow_adapters", "Adapters that names mean", len(loaded))
        yield CounterMetricFamily(
            "loraflow_adapter_swaps", "Names that came to mean another adapter", self._names.moves
        )
        lost = 0 if self._log is None else self._log.lost
        yield CounterMetricFamily("loraflow_log_lost", "Rows of the log that were lost", lost)

    def _registry(self) -> Iterator[Metric]:
        if self._follower is None:
            return
        state = self._follower.state
        yield GaugeMetricFamily("loraflow_registry_up", "1: MLflow's registry answers", state.up)
        if state.seen:
            yield GaugeMetricFamily(
                "loraflow_registry_age_seconds",
                "Since the registry last answered",
                max(0.0, time.time() - state.seen),
            )
