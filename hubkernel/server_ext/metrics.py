"""The hub in numbers, for Prometheus. They are kept up to date by the hub's events, so that asking for them costs
nothing and blocks nobody; what runs and waits just now is looked up when it is asked for.
"""

from __future__ import annotations

import logging
import time
from collections import Counter as Tally
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily

from hubkernel.handles import FINAL
from hubkernel.hub.events import Event

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer

log = logging.getLogger(__name__)

SECONDS = (0.01, 0.1, 1, 10, 60, 600, 3600, 4 * 3600, 24 * 3600)
COUNTED = ("source", "master", "build")
"""Entities whose events may change the number of documents."""
PAUSE = 5.0
"""Seconds between two counts of the documents, however much happens."""


class HubMetrics:
    """The numbers of one hub, in a registry of their own.

    Threading: :meth:`hear` is called by one thread, ``hub-watch``; collecting may happen in any.
    """

    def __init__(self, server: HubServer) -> None:
        self.server = server
        self.registry = CollectorRegistry()
        self._ended = Counter("hubkernel_jobs_ended", "Jobs that ended.", ["name", "state"], registry=self.registry)
        self._seconds = Histogram(
            "hubkernel_job_seconds", "How long jobs ran.", ["name"], buckets=SECONDS, registry=self.registry
        )
        self._waited = Histogram(
            "hubkernel_job_wait_seconds", "How long jobs waited.", buckets=SECONDS, registry=self.registry
        )
        self._documents = Gauge("hubkernel_documents", "Documents of a source.", ["source"], registry=self.registry)
        self._events = Counter("hubkernel_events", "Events on the hub's bus.", ["entity"], registry=self.registry)
        self.registry.register(_Now(server))
        self._counted = 0.0
        self._dirty = True

    def hear(self, event: Event) -> None:
        """Called for each event of the hub, in order."""
        self._events.labels(event.entity).inc()
        if event.entity == "job" and event.op == "update" and event.data:
            self._hear_job(event.data)
        self._dirty = self._dirty or event.entity in COUNTED

    def _hear_job(self, record: dict[str, Any]) -> None:
        started, finished = record.get("started"), record.get("finished")
        if record["state"] == "running" and started is not None:
            self._waited.observe(max(0.0, started - record["created"]))
        if record["state"] not in FINAL:
            return
        self._ended.labels(record["name"], record["state"]).inc()
        if started is not None and finished is not None:
            self._seconds.labels(record["name"]).observe(finished - started)

    def count(self) -> None:
        """Called by the same thread now and then: count the documents if something changed."""
        if not self._dirty or time.monotonic() < self._counted + PAUSE:
            return
        self._dirty, self._counted = False, time.monotonic()
        sources = (self.server.managers or {}).get("source_manager")
        try:
            found = sources.get_sources() if sources is not None else []
        except Exception:
            log.warning("the documents cannot be counted for the metrics", exc_info=True)
            return
        self._documents.clear()
        for source in found:
            self._documents.labels(source["_id"]).set(source.get("count") or 0)

    def collect(self) -> Iterable[Metric]:
        """Called by Prometheus' own registry, so that the Jupyter server's ``/metrics`` has these numbers too."""
        return self.registry.collect()

    def describe(self) -> Iterable[Metric]:
        """Called once by that registry, instead of collecting."""
        return []

    def publish(self) -> None:
        """Show them at the Jupyter server's ``/metrics``, until :meth:`close`."""
        prometheus_client.REGISTRY.register(self)

    def close(self) -> None:
        """Safe to call twice."""
        try:
            prometheus_client.REGISTRY.unregister(self)
        except KeyError:
            log.debug("the metrics were not published")


class _Now:
    """What runs and waits at the moment of asking."""

    def __init__(self, server: HubServer) -> None:
        self._server = server

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        jobs = (self._server.managers or {}).get("job_manager")
        if jobs is None:
            return
        states = Tally({"created": 0, "queued": 0, "running": 0})
        states.update(record.state for record in jobs.active())
        yield _gauge("hubkernel_jobs", "Jobs that have not ended.", "state", states)
        slots = {name: executor.workers for name, executor in jobs.executors.items()}
        yield _gauge("hubkernel_slots", "Steps that can run at once.", "executor", slots)
        waiting = Tally(dict.fromkeys(slots, 0))
        waiting.update(ticket.where or "job" for ticket in list(jobs.admission.waiting))
        yield _gauge("hubkernel_steps_waiting", "Steps that wait for a slot or for memory.", "executor", waiting)


def _gauge(name: str, about: str, label: str, values: dict[str, int] | Tally[str]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
