"""All jobs and timers of a hub as a widget that keeps itself up to date."""

from __future__ import annotations

import threading
from html import escape

import ipywidgets

from hubkernel import display
from hubkernel.api import HubAPI
from hubkernel.widgets.widget_job import JobBar


class Dashboard(ipywidgets.VBox):  # type: ignore[misc]
    """A bar for each job that runs, a table of the ``limit`` latest, and the hub's timers, soonest first, as its
    :class:`~hubkernel.hub.JobRenderer` shows them.

    Threading: a thread of its own reads the hub's events until :meth:`close`.
    """

    def __init__(self, hub: HubAPI, limit: int = 20) -> None:
        self._hub = hub
        self._limit = limit
        self._bars: dict[int, JobBar] = {}
        self.running = ipywidgets.VBox()
        self.table = ipywidgets.HTML()
        self.timers = ipywidgets.HTML()
        super().__init__([self.running, self.table, self.timers])
        self._events = hub.events()
        self.refresh()
        threading.Thread(target=self._follow, name="hub-dashboard", daemon=True).start()

    def refresh(self) -> None:
        """Ask the hub for its jobs and timers and show them."""
        jobs = self._hub.jobs(limit=self._limit)
        self.table.value = display.table_html(display.job_rows(jobs), "jobs")
        running = {job.id: job for job in jobs if not job.finished}
        if running.keys() != self._bars.keys():
            self._bars = {id: self._bars.get(id) or JobBar(job) for id, job in running.items()}
            self.running.children = tuple(self._bars.values())
        self.timers.value = f"<pre>{escape(self._hub.call('sch') or 'no timers')}</pre>"

    def _follow(self) -> None:
        while (event := self._events.get()) is not None:
            if event.entity in ("job", "schedule", "bus"):
                self.refresh()

    def close(self) -> None:
        """Stop following and take the widget away."""
        self._events.close()
        super().close()
