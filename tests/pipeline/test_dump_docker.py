"""The docker dumper against an engine's HTTP interface on a unix socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.executors import CancelledWork
from hubkernel.jobs.context import current
from hubkernel.pipeline.dump import FetchError
from hubkernel.pipeline.dump.dumpers.base import DumperException, Surroundings
from hubkernel.pipeline.dump.dumpers.docker import DockerContainerDumper, docker_source_info_parser
from hubkernel.pipeline.dump.dumpers.dockerengine import connection_of
from hubkernel.pipeline.dump.transfer import Policy
from tests.pipeline.docker_tools import DATE, Docker, Fake, docker_engine
from tests.pipeline.dump_tools import bench_in

URL = 'docker://box?image=acme/harvester&tag=7&path=/out/all.ndjson&dump_command="/opt/go.sh"'


@pytest.fixture
def docker() -> Iterator[Docker]:
    with docker_engine() as docker:
        docker.images["acme/harvester:7"] = {}
        docker.commands["/opt/go.sh"] = make
        docker.commands["cat /out/VERSION"] = lambda box: (0, "2024.1\n", "")
        yield docker


def make(box: Fake) -> tuple[int, str, str]:
    box.files["/out/all.ndjson"] = b'{"_id": 1}\n'
    return 0, "harvesting ...\n", ""


def dumper(docker: Docker, tmp_path: Path, url: str = URL, **attributes: Any) -> DockerContainerDumper:
    made = type("Mine", (DockerContainerDumper,), {"SRC_URLS": [url], **attributes})("src")
    policy = Policy(attempts=2, backoff=0.0, timeout=20.0, docker_config={"box": {"client_url": docker.url}})
    made.surroundings = Surroundings(staging=str(tmp_path / "staging"), policy=policy)
    return made


def dump(dumper: DockerContainerDumper) -> dict[str, bytes]:
    dumper.create_todump_list()
    for entry in dumper.to_dump:
        dumper.download(entry["remote"], entry["local"])
    return {file.name: file.read_bytes() for file in Path(dumper.new_data_folder).iterdir()}


def test_container_of_its_own(docker: Docker, tmp_path: Path) -> None:
    made = dumper(docker, tmp_path, URL + '&get_version_cmd="cat /out/VERSION"')
    assert dump(made) == {"all.ndjson": b'{"_id": 1}\n'}
    assert made.release == "2024.1"
    assert Path(made.new_data_folder, "all.ndjson").stat().st_mtime == DATE
    assert docker.containers == {}
    assert [line for line in docker.done("POST") if "exec" not in line] == [
        "POST /containers/create",
        "POST /containers/hubkernel-src/start",
    ]


def test_release_is_the_time_without_a_command(docker: Docker, tmp_path: Path) -> None:
    docker.commands["false"] = lambda box: (1, "", "no such file")
    for more in ("", "&get_version_cmd=false"):
        made = dumper(docker, tmp_path, URL + more)
        made.create_todump_list()
        assert made.release and len(made.release) == len("2024-01-01T00:00:00Z")


def test_path_in_the_version_command(docker: Docker, tmp_path: Path) -> None:
    docker.commands["md5sum /out/all.ndjson | cut -c1-4"] = lambda box: (0, "abcd", "")
    made = dumper(docker, tmp_path, URL + '&get_version_cmd="md5sum {} | cut -c1-4"')
    made.create_todump_list()
    assert made.release == "abcd"


@pytest.mark.parametrize(
    ("before", "verbs"),
    [("running", []), ("exited", ["start", "stop"]), ("created", ["start", "stop"]), ("paused", ["unpause", "pause"])],
)
def test_container_that_was_there_is_put_back(docker: Docker, tmp_path: Path, before: str, verbs: list[str]) -> None:
    docker.containers["mine"] = Fake(before)
    url = URL.replace("image=acme/harvester&tag=7", "container_name=mine")
    assert dump(dumper(docker, tmp_path, url))
    assert docker.containers["mine"].status == ("exited" if before == "created" else before)
    assert [line.rpartition("/")[2] for line in docker.done("POST /containers/mine") if "exec" not in line] == verbs


def test_labels_say_what_the_url_does_not(docker: Docker, tmp_path: Path) -> None:
    docker.images["acme/harvester:latest"] = {
        "path": "/out/all.ndjson",
        "dump_command": "/opt/go.sh",
        "get_version_cmd": "cat /out/VERSION",
        "keep_container": "Yes",
        "container_name": "kept",
    }
    made = dumper(docker, tmp_path, "docker://box?image=acme/harvester")
    assert dump(made) and made.release == "2024.1"
    assert docker.containers["kept"].status == "running"


def test_link_is_followed(docker: Docker, tmp_path: Path) -> None:
    docker.containers["mine"] = Fake(files={"/out/all.ndjson": "../real/1.ndjson", "/real/1.ndjson": b"real"})
    docker.commands["/opt/go.sh"] = lambda box: (0, "", "")
    url = URL.replace("image=acme/harvester&tag=7", "container_name=mine")
    assert dump(dumper(docker, tmp_path, url)) == {"all.ndjson": b"real"}


def test_volumes(docker: Docker, tmp_path: Path) -> None:
    docker.volumes["data"] = {}
    url = URL + '&volumes={"scratch": {"bind": "/out"}, "/in": {"bind": "/in", "mode": "ro"}}'
    url += '&named_volumes=[{"name": "scratch"}, {"name": "data"}]&keep_container=no'
    docker.commands["/opt/go.sh"] = lambda box: (*make(box)[:1], str(box.created["HostConfig"]["Binds"]), "")
    assert dump(dumper(docker, tmp_path, url))
    assert docker.volumes == {"data": {}}  # what was there before holds somebody's data
    assert docker.done("DELETE") == ["DELETE /containers/hubkernel-src", "DELETE /volumes/scratch"]


def test_nothing_new(docker: Docker, tmp_path: Path) -> None:
    made = dumper(docker, tmp_path)
    assert made.surroundings
    dump(made)
    made.surroundings.current_folder, made.to_dump = made.new_data_folder, []
    made.create_todump_list()
    assert made.to_dump == []
    made.create_todump_list(force=True)
    assert len(made.to_dump) == 1


def test_command_that_fails(docker: Docker, tmp_path: Path) -> None:
    docker.commands["/opt/go.sh"] = lambda box: (3, "", "no network")
    with pytest.raises(DumperException, match=r"^src: dump_command ended with exit code 3: no network$"):
        dump(dumper(docker, tmp_path))
    assert docker.containers == {}


@pytest.mark.parametrize(
    ("files", "said"), [({}, "there is no file /out/all.ndjson"), ({"/out/all.ndjson": b""}, "is empty")]
)
def test_command_that_makes_no_file(docker: Docker, tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    docker.commands["/opt/go.sh"] = lambda box: (box.files.update(files) or 0, "", "")  # type: ignore[func-returns-value]
    with pytest.raises((FetchError, DumperException), match=said):
        dump(dumper(docker, tmp_path))
    assert docker.containers == {}


def test_container_that_ends_at_once(docker: Docker, tmp_path: Path) -> None:
    docker.starts_as = "exited"
    with pytest.raises(DumperException, match="the container hubkernel-sr is exited"):
        dump(dumper(docker, tmp_path))
    assert docker.containers == {}


def test_what_a_killed_dump_left_is_removed(docker: Docker, tmp_path: Path) -> None:
    docker.containers["hubkernel-src"] = Fake("running", {"hubkernel.source": "src"})
    assert dump(dumper(docker, tmp_path))
    assert docker.containers == {}


def test_cancel_does_not_wait_for_the_command_and_cleans_up(docker: Docker, tmp_path: Path) -> None:
    class Impatient(type(current())):  # type: ignore[misc]
        def check(self) -> None:
            if docker.asked.is_set():
                raise CancelledWork

    docker.gate.clear()
    made = dumper(docker, tmp_path)
    assert made.surroundings
    made.surroundings.worker = Impatient()
    with pytest.raises(CancelledWork):
        dump(made)
    assert not docker.gate.is_set() and docker.containers == {}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (URL.replace("acme", "none"), r"there is no image none/harvester:7: docker pull none/harvester:7$"),
        ("docker://box?container_name=none&path=/a&dump_command=b", "there is no container none$"),
        ("docker://box?path=/a&dump_command=b", "neither image nor container_name"),
        ("docker://box?image=acme/harvester:7&path=/a", "has no dump_command, nor is there a label dump_command"),
        (URL.replace("box", "bix"), "docker_config has no connection 'bix'; there are box"),
        (URL + "&cmd=x", "unknown option cmd; there are image"),
        (URL + "&volumes={", "volumes of the docker url is no JSON"),
    ],
)
def test_what_is_wrong_is_said(docker: Docker, tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises((FetchError, DumperException), match=said):
        dumper(docker, tmp_path, url).create_todump_list()


def test_no_engine(tmp_path: Path) -> None:
    with docker_engine() as docker:
        made = dumper(docker, tmp_path)
    with pytest.raises(FetchError, match=r"^docker at unix:///.*/docker.sock: .*\(tried 2 times\)$"):
        made.create_todump_list()


def test_url() -> None:
    url = 'docker://box?image=a/b&dump_command="get x&y=1 | tr a+b"&path=/p&keep_container=1&volumes=["/a:/b"]'
    assert docker_source_info_parser(url) == {
        "docker_image": "a/b:latest",
        "connection_name": "box",
        "container_name": None,
        "path": "/p",
        "dump_command": "get x&y=1 | tr a b",
        "get_version_cmd": None,
        "volumes": ["/a:/b"],
        "named_volumes": None,
        "keep_container": True,
    }


def test_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert connection_of("localhost", {}).url == "unix:///var/run/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", "tcp://h:2375")
    assert connection_of("", {}).url == "tcp://h:2375"
    for url, said in (
        ("ssh://h", "forward its socket"),
        ("https://h", "needs tls_cert_path"),
        ("h:1", "begin it with"),
    ):
        with pytest.raises(FetchError, match=said):
            connection_of("box", {"box": {"client_url": url}})


def test_manifest_from_list_to_release(docker: Docker, tmp_path: Path) -> None:
    config = {"local": {"client_url": docker.url}}
    with bench_in(tmp_path / "home", docker_config=config, docker_host="local") as bench:
        bench.plugin("src", URL + '&get_version_cmd="cat /out/VERSION"')
        assert bench.dump("src") == "2024.1"
        assert bench.files("src") == {"all.ndjson": b'{"_id": 1}\n'}
        assert bench.dump("src") == "Nothing to dump"
    assert docker.containers == {}
