"""ipywidgets for jobs: a bar with a button that cancels, and a dashboard of all jobs.

They change while a cell runs; a click, though, reaches the kernel only between cells. Interrupting twice works at any
time.
"""

from __future__ import annotations

from hubkernel.widgets.widget_dashboard import Dashboard
from hubkernel.widgets.widget_job import JobBar

__all__ = ["Dashboard", "JobBar"]
