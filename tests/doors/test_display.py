"""Looks: text, HTML, mime bundles."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from hubkernel import display
from hubkernel.api import LocalHub
from hubkernel.facade import Docs, Found, Hub, Rows, shaped
from tests.doors.fake import FakeServer

NASTY = "<script>alert('x')</script>"


class Balanced(HTMLParser):
    """Fails for a tag that is never closed, or closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(html: str) -> set[str]:
    parser = Balanced()
    parser.feed(html)
    assert not parser.open
    return parser.seen


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (12.2, "12 s"), (59.7, "1 min 0 s"), (185, "3 min 5 s"), (7440, "2 h 4 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert display.duration(seconds) == text


def test_a_running_job_in_all_forms(api: LocalHub, server: FakeServer) -> None:
    job = api.call("dump", "hpo_terms")
    server.jobs.move(1, done=1, total=4, message="hp.obo", log=["started", NASTY])
    bundle = display.job_bundle(api.job(1))
    assert bundle["text/plain"].startswith("Job 1 · dump(src='hpo_terms') · running · 25% · ")
    assert bundle["text/plain"].endswith("hp.obo")
    assert "value='0.2500'" in bundle["text/html"]
    assert NASTY not in bundle["text/html"]
    assert {"progress", "details", "pre"} <= tags(bundle["text/html"])
    assert json.loads(json.dumps(bundle[display.JOB_MIME]))["state"] == "running"
    assert job.state == "running"


@pytest.mark.parametrize("state", ["done", "failed", "cancelled", "interrupted"])
def test_the_state_is_a_word_and_not_only_a_colour(api: LocalHub, server: FakeServer, state: str) -> None:
    job = api.call("dump", "x")
    server.jobs.move(1, state=state, error=None if state == "done" else NASTY, traceback=NASTY)
    job.wait(5)
    bundle = display.job_bundle(job)
    assert f">{state}</b>" in bundle["text/html"]
    assert state in bundle["text/plain"]
    assert NASTY not in bundle["text/html"]
    assert "script" not in tags(bundle["text/html"])


def test_the_line_of_a_terminal_fits(api: LocalHub, server: FakeServer) -> None:
    job = api.call("dump", "x" * 50)
    server.jobs.move(1, done=5, total=10, message="m" * 300)
    line = display.job_line(api.job(1), 80)
    assert len(line) <= 79
    assert "50%" in display.job_line(job, 200)
    assert "[##########..........]" in display.job_line(job, 200)


def test_a_broken_source_is_shown_with_its_reason() -> None:
    good = {"_id": "a", "name": "a", "count": 1}
    broken = {"_id": "b", "name": "b", "count": 0, "data_plugin": {"error": "parser.py:3: SyntaxError"}}
    text = display.table_text(Rows([good, broken], "sources"), "sources")
    assert "broken" in text.splitlines()[0] and "parser.py:3: SyntaxError" in text
    assert "broken" not in display.table_text(Rows([good], "sources"), "sources")


def test_a_table_of_sources_has_its_columns_in_order(hub: Hub) -> None:
    text = display.table_text(hub.sources(), "sources")
    head, first, *_ = text.splitlines()
    assert head.split() == ["name", "release", "dump", "upload", "documents"]
    assert first.split() == ["hpo_terms", "2025-01-16", "success", "success", "19,484"]
    html = display.table_html(hub.sources(), "sources")
    assert "<th scope='col' style='text-align:left'>name</th>" in html
    assert {"table", "thead", "tbody", "tr", "td"} <= tags(html)


def test_any_other_table_shows_what_it_has_and_escapes_it() -> None:
    rows = Rows([{"b": NASTY, "_id": 1}, {"c": ["x", "y"]}])
    html = display.table_html(rows)
    assert list(display.columns(rows)) == ["_id", "b", "c"]
    assert NASTY not in html
    assert "<td style='text-align:left'>x, y</td>" in html
    tags(html)


def test_a_long_table_says_how_much_it_leaves_out() -> None:
    rows = [{"n": n} for n in range(60)]
    assert display.table_text(rows).endswith("… and 10 more")
    assert display.table_html(rows).endswith("… and 10 more")
    assert display.table_text([], "builds") == "no builds"


def test_documents_show_their_number_and_the_first(hub: Hub) -> None:
    bundle = display.docs_bundle(Docs(hub, "hpo_terms", {"n": 7}))
    assert bundle["text/plain"].startswith("<Docs hpo_terms where {'n': 7}: 1 documents>")
    assert "HP:0000007" in bundle["text/html"]
    tags(bundle["text/html"])


def test_a_hub_says_where_it_is(hub: Hub, server: FakeServer) -> None:
    assert f"<Hub {server.home} (embedded), " in display.hub_bundle(hub)["text/plain"]
    tags(display.hub_bundle(hub)["text/html"])


def test_wide_columns_share_what_narrow_ones_leave() -> None:
    rows = [{"id": 1, "left": "l" * 70, "right": "r" * 70}]
    head, row = display.table_text(rows, width=60).splitlines()
    assert len(row) <= 60
    assert row.split()[0] == "1"
    assert row.count("l") == row.count("r") > 20
    assert head.split() == ["id", "left", "right"]


def test_what_a_search_found_is_a_table(hub: Hub) -> None:
    found = shaped({"total": 1234, "hits": [{"_id": "HP:1", "name": "<b>"}], "took": 2}, "search")
    bundle = display.value_bundle(found)
    assert bundle is not None
    assert bundle["text/plain"].splitlines()[0] == "1,234 found"
    assert "&lt;b&gt;" in bundle["text/html"]
    assert display.found_bundle(Found({"total": 0, "hits": []}))["text/plain"] == "0 found"
    assert found == {"total": 1234, "hits": [{"_id": "HP:1", "name": "<b>"}], "took": 2}


def test_bars_of_several_jobs_stand_in_line(api: LocalHub, server: FakeServer) -> None:
    api.call("dump", "a_source_with_a_long_name")
    html = display.job_html(api.job(1))
    assert html.partition(">")[2].startswith("<progress aria-label='progress of job 1'></progress>")


def test_a_result_reads_as_text(api: LocalHub, server: FakeServer) -> None:
    api.call("dump", "hpo_terms")
    server.jobs.move(1, state="done", result={"hpo_terms": {"count": 19484, "release": "2025-01-16"}})
    assert display.job_text(api.job(1)).endswith("→ hpo_terms: count 19,484, release 2025-01-16")
    assert display.result_text({"a": [1, {"b": 2}], "c": None}) == "a [1, {'b': 2}], c"


def test_numbers_stand_right_and_text_left() -> None:
    html = display.table_html([{"_id": "a", "count": None, "_score": 39.095638275}, {"_id": "b", "count": 1234}])
    assert "<td style='text-align:left'>b</td><td style='text-align:right'>1,234</td>" in html
    assert "<th scope='col' style='text-align:right'>_score</th>" in html
    assert "<td style='text-align:right'>39.1</td>" in html
    assert "text-align:right" not in display.table_html([{"obsolete": False}])


def test_a_cancelled_job_has_no_error(api: LocalHub, server: FakeServer) -> None:
    api.call("dump", "hpo_terms")
    server.jobs.move(1, state="cancelled", error="cancelled")
    bundle = display.job_bundle(api.job(1))
    assert "rror" not in bundle["text/html"]
    assert bundle["text/plain"].count("cancelled") == 1
    assert display.job_rows([api.job(1)])[0]["message"] == ""
