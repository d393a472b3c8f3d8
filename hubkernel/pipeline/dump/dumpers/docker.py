"""A file that a command makes inside of a docker container."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote_plus

from hubkernel.pipeline.dump.dumpers.base import BaseDumper, DumperException
from hubkernel.pipeline.dump.dumpers.dockerengine import Engine, connection_of
from hubkernel.pipeline.dump.errors import FetchError
from hubkernel.pipeline.dump.transfer import PART, pause

_OPTION = re.compile(r'([^=&]+)=("[^"]*"(?=&|$)|[^&]*)')
"""A value in quotes may hold ``&``."""
_OPTIONS = (
    "image",
    "tag",
    "container_name",
    "path",
    "dump_command",
    "get_version_cmd",
    "keep_container",
    "volumes",
    "named_volumes",
)
_YES = ("true", "yes", "1", "y")
_OURS = "hubkernel.source"
"""Label of a container that a dump made: one that is found later was left by a dump that was killed."""
_NEVER_ENDING = ["tail", "-f", "/dev/null"]
_LOOK_UP = 0.5


class DockerContainerException(DumperException):
    """The container cannot be used."""


@dataclass(frozen=True)
class Container:
    """The container that is used. ``before`` is its state before that, None if the dump made it."""

    id: str
    before: str | None


class DockerContainerDumper(BaseDumper):
    """``docker://<connection>?image=...&path=...&dump_command=...``; see the guide for plugin authors.

    Container, command and transfer are all done while the files are listed, so that one step leaves everything as it
    was, however it ends; the download then only moves the file to its place.
    """

    SRC_URLS: list[str] = []
    MAX_PARALLEL_DUMP = 1
    DOCKER_CONFIG: Mapping[str, Mapping[str, Any]] = {}
    """Besides those of the setting ``docker_config``: connection -> ``client_url`` and so on."""
    DOCKER_HOST: str | None = None
    """Connection to use instead of that of the url; None: what the setting ``docker_host`` says."""
    DOCKER_IMAGE: str | None = None
    CONTAINER_NAME: str | None = None
    DATA_PATH: str | None = None
    DUMP_COMMAND: str | None = None
    GET_VERSION_CMD: str | None = None
    KEEP_CONTAINER: bool | None = None
    VOLUMES: Any = None
    NAMED_VOLUMES: Any = None
    TIMEOUT = 300
    """Seconds that the container may take to start."""
    container: Container | None = None

    def prepare_client(self) -> None:
        """The client is an :class:`Engine`. Raises :class:`FetchError`."""
        name = self.DOCKER_HOST or self.policy.docker_host or str(self.source_config["connection_name"])
        known = {**self.policy.docker_config, **self.DOCKER_CONFIG}
        self.client = Engine(connection_of(name, known), self.worker, self.policy)

    def release_client(self) -> None:
        self.client = None

    @property
    def source_config(self) -> dict[str, Any]:
        """What the url says."""
        if len(self.SRC_URLS) != 1:
            raise DumperException(f"{type(self).__name__}: SRC_URLS has to hold one docker url, not {self.SRC_URLS!r}")
        return docker_source_info_parser(self.SRC_URLS[0])

    def create_todump_list(self, force: bool = False, **kwargs: Any) -> None:
        self.prepare_dumper_params()
        try:
            self.prepare_remote_container()
            self.generate_remote_file()
            self.set_release()
            remote = self.get_remote_file()
            name = PurePosixPath(remote).name
            current = Path(self.current_data_folder, name) if self.current_data_folder else None
            if force or current is None or self.remote_is_better(remote, str(current)):
                self._bring(remote)
                self.to_dump.append({"remote": remote, "local": str(Path(self.new_data_folder, name))})
        finally:
            self.delete_or_restore_container()

    def prepare_dumper_params(self) -> None:
        """Set the attributes: by the url, else as they are, else by the labels of the image or the container."""
        said = self.source_config
        self.DOCKER_IMAGE = said["docker_image"] or self.DOCKER_IMAGE
        self.CONTAINER_NAME = said["container_name"] or self.CONTAINER_NAME
        labels = self._labels()
        self.CONTAINER_NAME = self.CONTAINER_NAME or labels.get("container_name")
        self.DATA_PATH = said["path"] or self.DATA_PATH or labels.get("path")
        self.DUMP_COMMAND = said["dump_command"] or self.DUMP_COMMAND or labels.get("dump_command")
        self.GET_VERSION_CMD = said["get_version_cmd"] or self.GET_VERSION_CMD or labels.get("get_version_cmd")
        self.VOLUMES = said["volumes"] or self.VOLUMES or _json(labels, "volumes")
        self.NAMED_VOLUMES = said["named_volumes"] or self.NAMED_VOLUMES or _json(labels, "named_volumes")
        if "keep_container" in said:
            self.KEEP_CONTAINER = said["keep_container"]
        elif self.KEEP_CONTAINER is None:
            self.KEEP_CONTAINER = labels.get("keep_container", "").lower() in _YES
        for name, value in (("path", self.DATA_PATH), ("dump_command", self.DUMP_COMMAND)):
            if not value:
                raise DumperException(f"{self.src_name}: the docker url has no {name}, nor is there a label {name}")

    def _labels(self) -> dict[str, str]:
        if self.DOCKER_IMAGE:
            kind, name = "image", self.DOCKER_IMAGE
        elif self.CONTAINER_NAME:
            kind, name = "container", self.CONTAINER_NAME
        else:
            raise DumperException(f"{self.src_name}: the docker url has neither image nor container_name")
        found = self.client.find(f"/{kind}s/{name}/json")
        if found is None:
            hint = f": docker pull {name}" if kind == "image" else ""
            raise DockerContainerException(f"{self.client.place}: there is no {kind} {name}{hint}")
        return found["Config"].get("Labels") or {}

    # -------------------------------------------------------------------------------------------------- the container

    def prepare_remote_container(self) -> None:
        """Use the container of that name, or make one; it runs afterwards."""
        name = self.CONTAINER_NAME or f"hubkernel-{self.src_name}"
        found = self.client.find(f"/containers/{name}/json")
        if found is None:
            self.container = self._create(name)
        else:
            ours = (found["Config"].get("Labels") or {}).get(_OURS) == self.src_name
            self.container = Container(found["Id"], None if ours else found["State"]["Status"])
        self._run(self.container)

    def _create(self, name: str) -> Container:
        if not self.DOCKER_IMAGE:
            raise DockerContainerException(f"{self.client.place}: there is no container {name}")
        for volume in self._named_volumes():
            body = {"Name": volume["name"], "Driver": volume.get("driver", "local")}
            made = {**body, "DriverOpts": volume.get("driver_opts") or {}, "Labels": {_OURS: self.src_name}}
            if self.client.find(f"/volumes/{volume['name']}") is None:
                self.client.call("POST", "/volumes/create", made)
        asked = {
            "Image": self.DOCKER_IMAGE,
            "Entrypoint": _NEVER_ENDING,
            "Cmd": [],
            "Labels": {_OURS: self.src_name},
            "HostConfig": {"Binds": _binds(self.VOLUMES)},
        }
        return Container(self.client.call("POST", "/containers/create", asked, name=name)["Id"], None)

    def _run(self, container: Container) -> None:
        waited, status = 0.0, self._status(container)
        if status == "paused":
            self.client.call("POST", f"/containers/{container.id}/unpause")
        elif status != "running":
            self.client.call("POST", f"/containers/{container.id}/start")
        while (status := self._status(container)) != "running":
            if status in ("exited", "dead") or waited > self.TIMEOUT:
                raise DockerContainerException(f"{self.client.place}: the container {container.id[:12]} is {status}")
            pause(self.worker, _LOOK_UP)
            waited += _LOOK_UP

    def _status(self, container: Container) -> str:
        return str(self.client.call("GET", f"/containers/{container.id}/json")["State"]["Status"])

    def delete_or_restore_container(self) -> None:
        """Put the container into the state it was in; remove one that the dump made, unless it is to be kept."""
        container, self.container = self.container, None
        if container is None:
            return
        engine = self.client.undisturbed()  # also when the job was cancelled
        try:
            if container.before in ("exited", "created"):
                engine.call("POST", f"/containers/{container.id}/stop")
            elif container.before == "paused":
                engine.call("POST", f"/containers/{container.id}/pause")
            elif container.before is None and not self.KEEP_CONTAINER:
                engine.call("DELETE", f"/containers/{container.id}", force="true", v="true")
                self._remove_volumes(engine)
        except FetchError as error:
            self.logger.warning("the container was not put back: %s", error)

    def _remove_volumes(self, engine: Engine) -> None:
        """Those that a dump made; others of that name hold somebody's data."""
        for volume in self._named_volumes():
            found = engine.find(f"/volumes/{volume['name']}")
            if found and (found.get("Labels") or {}).get(_OURS) == self.src_name:
                engine.call("DELETE", f"/volumes/{volume['name']}")

    def _named_volumes(self) -> list[dict[str, Any]]:
        volumes = self.NAMED_VOLUMES or []
        return volumes if isinstance(volumes, list) else [volumes]

    # -------------------------------------------------------------------------------------------------------- the file

    def generate_remote_file(self) -> None:
        """Run ``dump_command`` to its end. Raises :class:`DumperException` if it fails."""
        code, output, errors = self._execute(str(self.DUMP_COMMAND))
        if code:
            said = (errors or output).strip()[-1000:] or "(no output)"
            raise DumperException(f"{self.src_name}: dump_command ended with exit code {code}: {said}")

    def set_release(self) -> None:
        """What ``get_version_cmd`` prints, ``{}`` in it being the path of the file; else the time."""
        self.release = None
        if self.GET_VERSION_CMD:
            code, output, errors = self._execute(self.GET_VERSION_CMD.replace("{}", self.get_remote_file()))
            self.release = output.strip() if not code else None
            if not self.release:
                self.logger.warning("get_version_cmd gave nothing: the release is the time: %s", errors.strip()[-300:])
        self.release = self.release or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def get_remote_file(self) -> str:
        """Path of the file in the container."""
        return str(self.DATA_PATH)

    def remote_is_better(self, remotefile: str, localfile: str) -> bool:
        """Whether its date differs."""
        try:
            local = int(Path(localfile).stat().st_mtime)
        except FileNotFoundError:
            return True
        return local != self.get_remote_lastmodified(remotefile)

    def get_remote_lastmodified(self, remote_file: str) -> int:
        """Seconds since 1970. Raises :class:`FetchError` if there is no such file."""
        return int(self.client.stat(self._used(), remote_file).modified.timestamp())

    def download(self, remotefile: str, localfile: str) -> None:
        """Take what the listing brought."""
        brought = self._stash() / Path(localfile).name
        if not brought.exists():
            raise DumperException(f"{remotefile} of the container is not here any more: dump again")
        Path(localfile).parent.mkdir(parents=True, exist_ok=True)
        brought.replace(localfile)

    def _execute(self, command: str) -> tuple[int, str, str]:
        code, output, errors = self.client.execute(self._used(), ["sh", "-c", command])
        return code, output, errors

    def _used(self) -> str:
        if self.container is None:
            raise DockerContainerException(f"{self.src_name}: there is no container")
        return self.container.id

    def _stash(self) -> Path:
        return Path(self._root(), ".docker")

    def _bring(self, remote: str) -> None:
        stash = self._stash()
        shutil.rmtree(stash, ignore_errors=True)
        stash.mkdir(parents=True)
        packed = stash / f"archive{PART}"
        stat = self.client.archive(self._used(), remote, packed)
        try:
            with tarfile.open(packed) as archive:
                archive.extractall(stash, filter="data")
        except tarfile.TarError as error:
            raise DumperException(f"{self.src_name}: {remote} of the container cannot be unpacked: {error}") from None
        packed.unlink()
        brought, wanted = stash / stat.name, stash / PurePosixPath(remote).name
        if brought != wanted:  # the path is a link
            brought.replace(wanted)
        if wanted.is_file() and not wanted.stat().st_size:
            raise DumperException(f"{self.src_name}: {remote} in the container is empty")


def docker_source_info_parser(url: str) -> dict[str, Any]:
    """What a docker url says, by the names that plugins know. Raises :class:`FetchError`."""
    place, _, query = url.partition("?")
    said = {name: unquote_plus(value) for name, value in _OPTION.findall(query)}
    if unknown := said.keys() - set(_OPTIONS):
        raise FetchError(f"{url}: unknown option {min(unknown)}; there are {', '.join(_OPTIONS)}")
    image, tag = said.get("image"), said.get("tag")
    if image and (tag or ":" not in image.rpartition("/")[2]):
        image = f"{image}:{tag or 'latest'}"
    found = {
        "docker_image": image or None,
        "connection_name": place.partition("://")[2].strip("/"),
        **{name: said.get(name) for name in ("path", "container_name")},
        **{name: said.get(name, "").strip('"') or None for name in ("dump_command", "get_version_cmd")},
        **{name: _json(said, name) for name in ("volumes", "named_volumes")},
    }
    if "keep_container" in said:
        found["keep_container"] = said["keep_container"].lower() in _YES
    return found


def _json(said: Mapping[str, str], name: str) -> Any:
    if not said.get(name):
        return None
    try:
        return json.loads(said[name])
    except ValueError as error:
        raise FetchError(f"{name} of the docker url is no JSON: {error}: {said[name]}") from None


def _binds(volumes: Any) -> list[str]:
    """``{"/here": {"bind": "/there", "mode": "ro"}}`` or ``["/here:/there:ro"]`` as the engine takes it."""
    if isinstance(volumes, Mapping):
        return [f"{here}:{there['bind']}:{there.get('mode', 'rw')}" for here, there in volumes.items()]
    return list(volumes or [])
