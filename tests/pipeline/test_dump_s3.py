"""The S3 dumper against moto's server: folders and files, releases, downloads that break."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hubkernel.pipeline.dump import FetchError
from hubkernel.pipeline.dump.dumpers.base import DumperException, Surroundings
from hubkernel.pipeline.dump.dumpers.s3 import S3Dumper, S3Place
from hubkernel.pipeline.dump.transfer import Policy
from tests.pipeline.dump_tools import bench_in

BODY = bytes(range(256)) * 1200  # more than one piece


class Faulty:
    """Before each GET of an object the next of ``faults`` is called: an answer, or what is to happen to the body."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.faults: list[Callable[[Any, Any], Iterable[bytes]]] = []
        self.ranges: list[str | None] = []
        self.headers: list[str | None] = []

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        self.headers.append(environ.get("HTTP_AUTHORIZATION"))
        if environ["REQUEST_METHOD"] == "GET" and "list-type" not in environ["QUERY_STRING"]:
            self.ranges.append(environ.get("HTTP_RANGE"))
            if self.faults:
                return self.faults.pop(0)(environ, start_response)
        return self.app(environ, start_response)  # type: ignore[no-any-return]

    def cut(self, after: int) -> Callable[[Any, Any], Iterable[bytes]]:
        """Fewer bytes than the Content-Length says, then the connection is closed."""
        return lambda environ, start: [b"".join(self.app(environ, start))[:after]]

    def status(self, status: str) -> Callable[[Any, Any], Iterable[bytes]]:
        def answer(environ: Any, start: Any) -> Iterable[bytes]:
            start(status, [("Content-Length", "0")])
            return []

        return answer

    def first(self, action: Callable[[], Any]) -> Callable[[Any, Any], Iterable[bytes]]:
        def answer(environ: Any, start: Any) -> Iterable[bytes]:
            action()
            return self.app(environ, start)  # type: ignore[no-any-return]

        return answer


class Bucket:
    def __init__(self, faulty: Faulty, endpoint: str, client: Any) -> None:
        self.faulty, self.endpoint, self.client = faulty, endpoint, client
        self.name = f"bucket-{uuid4().hex}"
        client.create_bucket(Bucket=self.name)

    def __setitem__(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def url(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    @contextmanager
    def dumper(self, folder: Path, *keys: str, **attributes: Any) -> Iterator[S3Dumper]:
        dumper = type("Mine", (S3Dumper,), {"ENDPOINT_URL": self.endpoint, "REGION": "us-east-1", **attributes})("src")
        dumper.SRC_URLS = [self.url(key) for key in keys]
        policy = Policy(attempts=3, backoff=0.0, timeout=20.0, logins=attributes.get("logins", {}))
        dumper.surroundings = Surroundings(staging=str(folder / "staging"), policy=policy)
        yield dumper
        dumper.release_client()


pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Faulty, str]]:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Quiet(MotoRequestHandler):
        protocol_version = "HTTP/1.0"  # an answer that is cut also ends its connection

        def log(self, *args: Any) -> None:
            pass

    faulty = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, faulty, True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield faulty, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def bucket(server: tuple[Faulty, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    faulty, endpoint = server
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    bucket = Bucket(faulty, endpoint, client)
    faulty.faults.clear()
    faulty.ranges.clear()
    faulty.headers.clear()
    yield bucket
    client.close()


def dump(dumper: S3Dumper) -> dict[str, bytes]:
    dumper.create_todump_list()
    for entry in dumper.to_dump:
        file = dumper.download(entry["remote"], entry["local"])
        assert file.name == dumper.name_of(entry["local"]) and file.size == Path(entry["local"]).stat().st_size
    folder = Path(dumper.new_data_folder)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_file_and_its_date(bucket: Bucket, tmp_path: Path) -> None:
    bucket["in/a b.tsv"] = BODY
    with bucket.dumper(tmp_path, "in/a%20b.tsv") as dumper:
        assert dump(dumper) == {"a b.tsv": BODY}
        modified = bucket.client.head_object(Bucket=bucket.name, Key="in/a b.tsv")["LastModified"]
        assert dumper.release == f"{modified:%Y-%m-%d}"


def test_folder_keeps_its_paths(bucket: Bucket, tmp_path: Path) -> None:
    for key in ("v1/a.tsv", "v1/deep/a.tsv", "v1/../evil.tsv", "v1/empty/", "v10/no.tsv"):
        bucket[key] = key.encode()
    with bucket.dumper(tmp_path, "v1/") as dumper:
        found = dump(dumper)
    assert found == {"a.tsv": b"v1/a.tsv", "deep/a.tsv": b"v1/deep/a.tsv", "data/evil.tsv": b"v1/../evil.tsv"}


def test_whole_bucket(bucket: Bucket, tmp_path: Path) -> None:
    bucket["a"], bucket["b/c"] = b"a", b"c"
    with bucket.dumper(tmp_path, "") as dumper:
        assert dump(dumper) == {"a": b"a", "b/c": b"c"}


def test_manifest_from_list_to_release(bucket: Bucket, tmp_path: Path) -> None:
    bucket["v1/a"], bucket["v1/b"] = b"a", b"b"
    with bench_in(tmp_path / "home") as bench:
        bench.plugin("src", f"{bucket.url('v1/')}?endpoint_url={bucket.endpoint}&region=us-east-1")
        bench.dump("src")
        assert bench.files("src") == {"a": b"a", "b": b"b"}
        assert bench.dump("src") == "Nothing to dump"
        bucket["v1/a"] = b"new"
        bucket.client.delete_object(Bucket=bucket.name, Key="v1/b")
        bench.dump("src")
        assert bench.files("src") == {"a": b"new"}


def test_release_is_the_etag(bucket: Bucket, tmp_path: Path) -> None:
    bucket["a"] = b"a"
    for url, attributes in (("a", {"RELEASE_FROM": "etag"}), ("a?release=etag", {})):
        with bucket.dumper(tmp_path, url, **attributes) as dumper:
            dumper.set_release()
            assert dumper.release == "0cc175b9c0f1b6a831c399e269772661"


def test_release_is_the_version(bucket: Bucket, tmp_path: Path) -> None:
    bucket["a"] = b"a"
    with bucket.dumper(tmp_path, "a", RELEASE_FROM="version") as dumper:
        with pytest.raises(FetchError, match="has no version; is versioning on for the bucket"):
            dumper.set_release()
        bucket.client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
        version = bucket.client.put_object(Bucket=bucket.name, Key="a", Body=b"b")["VersionId"]
        dumper.set_release()
        assert dumper.release == version
        bucket["a"] = b"c"
        dumper.download(bucket.url(f"a?versionId={version}"), str(tmp_path / "a"))
        assert (tmp_path / "a").read_bytes() == b"b"


def test_release_of_nothing_known(bucket: Bucket, tmp_path: Path) -> None:
    said = "^src: the release is 'weather', but has to be of modified, etag, version$"
    with bucket.dumper(tmp_path, "a", RELEASE_FROM="weather") as dumper, pytest.raises(DumperException, match=said):
        dumper.set_release()


def test_options_behind_the_url(bucket: Bucket, tmp_path: Path) -> None:
    bucket["a"] = b"a"
    bucket.client.put_object_acl(Bucket=bucket.name, Key="a", ACL="public-read")
    bucket.faulty.headers.clear()
    url = f"a?endpoint_url={bucket.endpoint}&region=eu-west-1&anonymous=true"
    with bucket.dumper(tmp_path, url, ENDPOINT_URL=None) as dumper:
        assert dump(dumper) == {"a": b"a"}
    assert set(bucket.faulty.headers) == {None}


def test_login_of_the_hub(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket["a"] = b"a"
    monkeypatch.setenv("S3_LOGIN_OF_TEST", "mykey:mysecret")
    bucket.faulty.headers.clear()
    with bucket.dumper(tmp_path, "a", logins={"127.0.0.1": "env:S3_LOGIN_OF_TEST"}) as dumper:
        dumper.describe(bucket.url("a"))
    assert "Credential=mykey/" in str(bucket.faulty.headers[-1])


def test_broken_download_goes_on(bucket: Bucket, tmp_path: Path) -> None:
    bucket["a"] = BODY
    bucket.faulty.faults = [bucket.faulty.cut(100_000), bucket.faulty.status("503 Slow Down")]
    with bucket.dumper(tmp_path, "a") as dumper:
        assert dump(dumper) == {"a": BODY}
    assert bucket.faulty.ranges[0] is None
    resumed = [int(str(asked).removeprefix("bytes=").rstrip("-")) for asked in bucket.faulty.ranges[1:]]
    assert len(resumed) == 2 and resumed[0] == resumed[1] > 0


def test_file_that_changes_meanwhile_is_downloaded_anew(bucket: Bucket, tmp_path: Path) -> None:
    bucket["a"] = BODY
    new = BODY[::-1]

    def change() -> None:
        bucket["a"] = new

    bucket.faulty.faults = [bucket.faulty.cut(100_000), bucket.faulty.first(change)]
    with bucket.dumper(tmp_path, "a") as dumper:
        assert dump(dumper) == {"a": new}


def test_silent_server_is_left_and_asked_again(bucket: Bucket, tmp_path: Path) -> None:
    bucket["a"] = BODY
    done = threading.Event()

    def silent(environ: Any, start: Any) -> Iterable[bytes]:
        content = b"".join(bucket.faulty.app(environ, start))
        yield content[:100_000]
        done.wait(60)

    bucket.faulty.faults = [silent]
    with bucket.dumper(tmp_path, "a") as dumper:
        assert dumper.surroundings
        dumper.surroundings.policy = Policy(attempts=50, backoff=0.0, timeout=0.5)
        assert dump(dumper) == {"a": BODY}
    done.set()
    assert bucket.faulty.ranges[0] is None and len(bucket.faulty.ranges) >= 2


def test_damaged_content_is_noticed(bucket: Bucket, tmp_path: Path) -> None:
    bucket["a"] = BODY

    def damaged(environ: Any, start: Any) -> Iterable[bytes]:
        return [b"x" + b"".join(bucket.faulty.app(environ, start))[1:]]

    bucket.faulty.faults = [damaged]
    with bucket.dumper(tmp_path, "a") as dumper:
        assert dump(dumper) == {"a": BODY}
    bucket.faulty.faults = [damaged] * 3
    with (
        bucket.dumper(tmp_path / "2", "a") as dumper,
        pytest.raises(FetchError, match=r"checksum.* \(tried 3 times\)$"),
    ):
        dump(dumper)


def test_etag_is_checked_where_it_is_a_hash(bucket: Bucket, tmp_path: Path) -> None:
    bucket["a"] = BODY
    with bucket.dumper(tmp_path, "a") as dumper:
        (tmp_path / "a.part").write_bytes(b"x" + BODY[1:])  # as long as it has to be, and not looked at yet
        dumper.download(bucket.url("a"), str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == BODY


def test_no_login_is_said(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with (
        bucket.dumper(tmp_path, "a") as dumper,
        pytest.raises(FetchError, match="a public bucket takes anonymous=true"),
    ):
        dumper.describe(bucket.url("a"))


@pytest.mark.parametrize(("key", "said"), [("none", "404"), ("none/", "there is no file")])
def test_what_is_not_there(bucket: Bucket, tmp_path: Path, key: str, said: str) -> None:
    with bucket.dumper(tmp_path, key) as dumper, pytest.raises(FetchError, match=rf"{said}") as caught:
        dumper.create_todump_list()
    assert bucket.url(key) in str(caught.value)


def test_lasting_trouble_is_one_error(bucket: Bucket, tmp_path: Path) -> None:
    bucket["a"] = BODY
    bucket.faulty.faults = [bucket.faulty.status("500 Internal Server Error")] * 3
    with bucket.dumper(tmp_path, "a") as dumper, pytest.raises(FetchError, match=r"^S3 500 for .*\(tried 3 times\)$"):
        dump(dumper)


def test_nobody_listens(bucket: Bucket, tmp_path: Path) -> None:
    said = rf"^{bucket.url('a')}: .*\(tried 3 times\)$"
    with (
        bucket.dumper(tmp_path, "a", ENDPOINT_URL="http://127.0.0.1:1") as dumper,
        pytest.raises(FetchError, match=said),
    ):
        dumper.describe(bucket.url("a"))


@pytest.mark.parametrize(
    ("url", "said"),
    [("s3:///a", "write s3://bucket/key"), ("s3://b/a?endpoint=x", "unknown option endpoint; there are endpoint_url")],
)
def test_wrong_url(url: str, said: str) -> None:
    with pytest.raises(FetchError, match=said):
        S3Place.of(url)
