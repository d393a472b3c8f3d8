"""What only the embedded engine has: a folder, an owner, a life after a crash, and files that can be made again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import ApiError, BadRequestError, Elasticsearch, NotFoundError, helpers

from hubkernel.search import SearchBusyError, client
from hubkernel.search.client import folder_of

Open = Callable[..., Elasticsearch]


def ids(es: Elasticsearch, index: str = "a", **query: Any) -> list[str]:
    found = es.search(index=index, query=query or {"match_all": {}}, size=1000)
    return sorted(hit["_id"] for hit in found["hits"]["hits"])


def put(es: Elasticsearch, *numbers: int, index: str = "a") -> None:
    helpers.bulk(es, ({"_index": index, "_id": str(n), "n": n, "t": f"word{n}"} for n in numbers), refresh=True)


# --- urls


def test_urls(tmp_path: Path) -> None:
    assert folder_of(f"embedded://{tmp_path}/a%20b") == tmp_path.resolve() / "a b"
    for bad in ("embedded://relative/x", "embedded:", "ftp://host", "/a/path", ""):
        with pytest.raises(ValueError, match="embedded:///absolute/folder"):
            client(bad)


def test_an_http_url_gives_an_ordinary_client() -> None:
    es = client("http://127.0.0.1:1", max_retries=0)
    with pytest.raises(Exception, match="Connection"):
        es.info()
    es.close()


def test_loads_late() -> None:
    code = (
        "import sys, hubkernel.search; from hubkernel.search.client import folder_of; folder_of('embedded:///x');"
        "print([m for m in ('elasticsearch', 'elastic_transport', 'tantivy') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


# --- one folder, one engine, one process


def test_clients_share_the_engine(embedded: Open) -> None:
    one, two = embedded(), embedded()
    put(one, 1, 2)
    assert ids(two) == ["1", "2"]
    one.close()
    put(two, 3)
    assert ids(two) == ["1", "2", "3"]


def test_everything_is_there_after_closing(embedded: Open) -> None:
    es = embedded()
    es.indices.create(index="a", mappings={"_meta": {"v": 1}, "properties": {"n": {"type": "short"}}})
    put(es, 1, 2, 3)
    es.indices.put_alias(index="a", name="b")
    es.index(index="a", id="late", document={"n": 9})
    es.close()
    again = embedded()
    assert ids(again, "b") == ["1", "2", "3", "late"]
    mapping = again.indices.get_mapping(index="a")["a"]["mappings"]
    assert (mapping["_meta"], mapping["properties"]["n"]) == ({"v": 1}, {"type": "short"})


HOLD = """
import sys
from hubkernel.search import client
es = client(sys.argv[1])
es.info()
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_process_gets_a_clear_error(tmp_path: Path) -> None:
    url = f"embedded://{tmp_path}"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "open\n"
    with pytest.raises(SearchBusyError, match=f"{tmp_path}.*process {holder.pid}"):
        client(url)
    holder.communicate("")
    es = client(url)
    assert es.ping()
    es.close()


# --- crashes

WRITE = """
import sys
from elasticsearch import helpers
from hubkernel.search import client
es = client(sys.argv[1])
es.indices.create(index="a", mappings={"properties": {"n": {"type": "long"}, "t": {"type": "text"}}})
for chunk in range(10_000):
    ids = [f"{chunk}-{n}" for n in range(50)]
    helpers.bulk(es, ({"_index": "a", "_id": i, "n": chunk, "t": "some words here"} for i in ids))
    if chunk:
        es.update(index="a", id=f"{chunk - 1}-0", doc={"n": -1})
        es.delete(index="a", id=f"{chunk - 1}-1")
    if chunk % 7 == 3:
        es.indices.refresh(index="a")
    print(chunk, flush=True)
"""


@pytest.mark.parametrize("chunks", [2, 9, 25])
@pytest.mark.service
def test_a_kill_during_bulk_loses_nothing_acknowledged(tmp_path: Path, chunks: int) -> None:
    url = f"embedded://{tmp_path}"
    with subprocess.Popen([sys.executable, "-c", WRITE, url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        last = -1
        while last < chunks:
            last = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        last = max([last, *(int(line) for line in writer.stdout.read().split()[:-1])])
    es = client(url)
    try:
        found = {hit["_id"]: hit["_source"]["n"] for hit in helpers.scan(es, index="a")}
        for chunk in range(last):
            assert found[f"{chunk}-0"] == -1
            assert f"{chunk}-1" not in found
            assert all(found[f"{chunk}-{n}"] == chunk for n in range(2, 50))
        counted = es.count(index="a", query={"term": {"n": -1}})["count"]
        assert counted == sum(n == -1 for n in found.values())
        assert es.count(index="a", query={"match": {"t": "words"}})["count"] == len(found)
    finally:
        es.close()


def test_a_crash_between_the_two_commits_is_repaired(embedded: Open, tmp_path: Path) -> None:
    es = embedded()
    put(es, 1, 2)
    put(es, 3, 4)
    es.close()
    (store,) = (tmp_path / "search" / "indices").glob("*/store.db")
    db = sqlite3.connect(store)
    db.execute("update meta set value = x'32' where key = 'searchable'")  # as if rows 3 and 4 were not noted yet
    db.commit()
    db.close()
    assert ids(embedded()) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("damage", ["gone", "garbage"])
def test_search_files_are_made_again(embedded: Open, tmp_path: Path, damage: str) -> None:
    es = embedded()
    put(es, 1, 2, 3)
    es.close()
    (files,) = (tmp_path / "search" / "indices").glob("*/search-*")
    if damage == "gone":
        shutil.rmtree(files)
    else:
        (files / "meta.json").write_text("{")
    es = embedded()
    assert ids(es, match={"t": "word2"}) == ["2"]
    put(es, 4)
    assert ids(es) == ["1", "2", "3", "4"]


def test_left_overs_are_swept(embedded: Open, tmp_path: Path) -> None:
    es = embedded()
    put(es, 1)
    es.close()
    left_over = tmp_path / "search" / "indices" / "half-made"
    left_over.mkdir()
    es = embedded()
    assert not left_over.exists()
    assert ids(es) == ["1"]


def test_a_full_disk_refuses_the_write_and_keeps_the_rest(embedded: Open, tmp_path: Path) -> None:
    es = embedded()
    put(es, 1, 2)
    table = table_of(tmp_path, "a")
    pages = table._writer.execute("pragma page_count").fetchone()[0]
    table._writer.execute(f"pragma max_page_count = {pages + 2}")
    with pytest.raises(ApiError) as caught:
        es.bulk(
            index="a", operations=[line for n in range(400) for line in ({"index": {"_id": f"x{n}"}}, {"b": "y" * 500})]
        )
    assert caught.value.status_code == 507
    assert "full" in str(caught.value.body)
    table._writer.execute("pragma max_page_count = 1000000")
    put(es, 3)
    assert ids(es) == ["1", "2", "3"]
    assert "b" not in es.indices.get_mapping(index="a")["a"]["mappings"]["properties"]


def table_of(folder: Path, index: str) -> Any:
    from hubkernel.search.client import _engines

    engine, _ = _engines[(folder / "search").resolve()]
    return engine.indices[index].table


# --- under load


@pytest.mark.service
def test_reading_while_writing(embedded: Open) -> None:
    es = embedded()
    put(es, *range(50))
    stop = threading.Event()
    problems: list[Exception] = []
    counts: list[int] = []

    def read() -> None:
        while not stop.is_set():
            try:
                counts.append(len(ids(es)))
            except Exception as error:
                problems.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(30):
        put(es, *(n + (50 if turn % 2 else 0) for n in range(50)))
    stop.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert set(counts) <= {50, 100}
    assert ids(es) == sorted(str(n) for n in range(100))


def test_writers_in_threads(embedded: Open) -> None:
    es = embedded()
    es.indices.create(index="a")

    def write(start: int) -> None:
        put(es, *range(start, start + 100))

    writers = [threading.Thread(target=write, args=(start,)) for start in range(0, 400, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(ids(es)) == 400


def test_big_bulks_spill_without_being_seen(embedded: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubkernel.search.index._SPILL_BYTES", 2_000)
    es = embedded()
    es.indices.create(index="a")
    for start in range(0, 500, 100):
        helpers.bulk(es, ({"_index": "a", "_id": str(n), "n": n, f"f{start}": n} for n in range(start, start + 100)))
    es.index(index="a", id="0", document={"n": -1})
    es.delete(index="a", id="1")
    assert es.count(index="a")["count"] == 0
    es.indices.refresh(index="a")
    assert es.count(index="a")["count"] == 499
    assert ids(es, range={"n": {"lt": 1}}) == ["0"]
    assert ids(es, term={"f400": 444}) == ["444"]


def test_an_index_deleted_during_a_scroll(embedded: Open) -> None:
    es = embedded()
    put(es, *range(20))
    answer = es.search(index="a", scroll="1m", size=5)
    es.indices.delete(index="a")
    with pytest.raises(NotFoundError):
        es.scroll(scroll_id=answer["_scroll_id"], scroll="1m")


def test_a_scroll_expires(embedded: Open, tmp_path: Path) -> None:
    es = embedded()
    put(es, *range(20))
    answer = es.search(index="a", scroll="1nanos", size=5)
    with pytest.raises(NotFoundError, match="search_context_missing_exception"):
        es.scroll(scroll_id=answer["_scroll_id"], scroll="1m")
    put(es, *range(20))
    assert table_of(tmp_path, "a").retired() == []


def test_retired_rows_go_when_no_scroll_needs_them(embedded: Open, tmp_path: Path) -> None:
    es = embedded()
    put(es, 1, 2, 3)
    table = table_of(tmp_path, "a")
    scroll = es.search(index="a", scroll="1m", size=1)["_scroll_id"]
    put(es, 1, 2)
    assert len(table.retired()) == 2
    es.clear_scroll(scroll_id=scroll)
    put(es, 3)
    assert table.retired() == []


# --- the documents themselves


def test_best_compression_packs_the_documents(embedded: Open, tmp_path: Path) -> None:
    es = embedded()
    text = "the same words again and again " * 50
    for name, codec in (("plain", "default"), ("packed", "best_compression")):
        es.indices.create(index=name, settings={"codec": codec}, mappings={"dynamic": "false"})
        helpers.bulk(es, ({"_index": name, "_id": str(n), "t": text} for n in range(200)), refresh=True)
        assert es.get(index=name, id="7")["_source"] == {"t": text}
    sizes = {each["index"]: int(each["store.size"]) for each in es.cat.indices(format="json", bytes="b")}
    assert sizes["packed"] < sizes["plain"] / 3


def test_what_is_nested_is_kept_and_not_searched(embedded: Open) -> None:
    es = embedded()
    inner = {"type": "nested", "properties": {"a": {"type": "keyword"}}}
    es.indices.create(index="a", mappings={"properties": {"n": inner, "g": {"type": "geo_point"}}})
    es.index(index="a", id="1", document={"n": [{"a": "x"}], "g": {"lat": 1, "lon": 2}}, refresh=True)
    assert es.get(index="a", id="1")["_source"]["n"] == [{"a": "x"}]
    assert ids(es, exists={"field": "g"}) == ["1"]
    for query in ({"term": {"n.a": "x"}}, {"term": {"g": "x"}}, {"query_string": {"query": "n.a:x", "lenient": True}}):
        with pytest.raises(BadRequestError, match="unsupported_operation_exception"):
            ids(es, **query)


@pytest.mark.parametrize(
    "body",
    [
        {"settings": {"analysis": {"tokenizer": {"x": {"type": "ngram"}}}}},
        {"settings": {"analysis": {"analyzer": {"x": {"tokenizer": "standard", "filter": ["porter_stem"]}}}}},
        {"mappings": {"properties": {"d": {"type": "date", "format": "dd/MM/yyyy"}}}},
        {"mappings": {"dynamic": "runtime"}},
        {"mappings": {"_source": {"enabled": False}}},
        {"mappings": {"properties": {"a": {"type": "text", "copy_to": "b"}}}},
    ],
)
def test_what_an_index_cannot_have_is_refused(embedded: Open, body: dict[str, Any]) -> None:
    es = embedded()
    with pytest.raises(BadRequestError, match="unsupported_operation_exception"):
        es.indices.create(index="a", **body)
    assert not es.indices.exists(index="a")


# --- REST


def test_unknown_apis_and_parameters_are_refused(embedded: Open) -> None:
    es = embedded()
    put(es, 1)
    headers = {"accept": "application/json"}
    for call in (
        lambda: es.open_point_in_time(index="a", keep_alive="1m"),
        es.snapshot.get_repository,
        lambda: es.update(index="a", id="1", script="x"),
        lambda: es.perform_request("GET", "/a/_search?colour=red", headers=headers),
        lambda: es.perform_request("GET", "/_nonsense", headers=headers),
    ):
        with pytest.raises(BadRequestError) as caught:
            call()
        assert caught.value.body["error"]["reason"]
    with pytest.raises(ApiError, match="405"):
        es.perform_request("DELETE", "/_bulk", headers=headers)


def test_an_error_of_ours_is_an_answer_and_is_logged(
    embedded: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    es = embedded()
    monkeypatch.setattr("hubkernel.search.engine.Engine.resolve", lambda *a, **k: 1 / 0)
    with pytest.raises(ApiError, match="500"):
        es.search(index="a")
    assert "ZeroDivisionError" in caplog.text


def test_cat_as_text(embedded: Open) -> None:
    es = embedded()
    put(es, 1, 2)
    assert es.cat.indices(h="index,docs.count") == "a 2\n"
    assert es.cat.indices(h="index", v=True) == "index\na\n"


def test_the_state_is_readable(embedded: Open, tmp_path: Path) -> None:
    es = embedded()
    put(es, 1)
    es.indices.put_alias(index="a", name="b", filter={"term": {"n": 1}})
    state = json.loads((tmp_path / "search" / "state.json").read_text())
    assert state["indices"]["a"]["aliases"] == {"b": {"filter": {"term": {"n": 1}}}}
