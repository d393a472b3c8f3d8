"""One job as a widget."""

from __future__ import annotations

from html import escape

import ipywidgets

from hubkernel import display
from hubkernel.api import JobHandle

STYLES = {"done": "success", "failed": "danger", "cancelled": "warning", "interrupted": "warning"}
"""Colour of the bar; the state also stands beside it as a word."""


class JobBar(ipywidgets.HBox):  # type: ignore[misc]
    """Command, bar, state and a button that cancels. Follows its job until the end.

    Threading: the hub's thread changes the widgets; ipykernel sends that from any thread.
    """

    def __init__(self, job: JobHandle) -> None:
        self.job = job
        self.label = ipywidgets.HTML(f"<b>Job {job.id}</b> <code>{escape(job.command)}</code>")
        self.bar = ipywidgets.FloatProgress(min=0.0, max=1.0)
        self.text = ipywidgets.Label()
        self.button = ipywidgets.Button(description="Cancel", icon="stop", tooltip=f"Cancel job {job.id}")
        self.button.on_click(lambda _button: self.job.cancel())
        super().__init__([self.label, self.bar, self.text, self.button])
        self._stop = job.on_change(self.show)
        self.show(job)

    def show(self, job: JobHandle) -> None:
        """Called with the job after each change of it."""
        if (share := job.progress) is not None:
            self.bar.value = share
        self.bar.bar_style = STYLES.get(job.state, "info")
        facts = [job.state, display.amount(job), display.elapsed(job), display.note(job)]
        self.text.value = display.shorten(" · ".join(fact for fact in facts if fact))
        self.button.disabled = job.finished
        if job.finished:
            self._stop()

    def close(self) -> None:
        """Take the widget away; the job goes on."""
        self._stop()
        super().close()
