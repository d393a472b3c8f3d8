"""Which command stands at which path of the hub's REST API, as data; the web server that serves it is a door."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hubkernel.hub.names import hint


@dataclass(frozen=True, slots=True)
class EndpointDefinition:
    """One verb of a path. The path is ``/<endpoint>[/<first mandatory argument>][/<suffix>]``."""

    name: str
    """The command."""
    method: str
    """``get``, ``put``, ``post`` or ``delete``."""
    suffix: str = ""
    force_bodyargs: bool = False
    """All arguments from the body (or, for GET, the query), none from the path."""

    def __post_init__(self) -> None:
        if self.method.lower() not in METHODS:
            raise ValueError(
                f"endpoint of command {self.name!r}: no HTTP method {self.method!r}{hint(self.method, METHODS)}"
            )
        object.__setattr__(self, "method", self.method.lower())


METHODS = ("get", "put", "post", "delete")
Endpoints = dict[str, list[EndpointDefinition]]

_TABLE = """
config                  get     config
config                  put     setconf                 body
config                  delete  resetconf               body
status                  get     status
commands                get     commands
command                 get     command
job_manager             get     job_info
dump_manager            get     dump_info
upload_manager          get     upload_info
sources                 get     sources
source                  get     source_info
source                  put     dump                    dump
source                  put     mark_dump_success       mark_dump_success
source                  put     upload                  upload
source                  put     update_source_meta      update_source_meta
builds                  get     builds
build                   get     build
build                   delete  rmmerge
build                   put     merge                   new
build_manager           get     build_config_info
buildconf               post    create_build_conf       body
buildconf               put     update_build_conf       body
buildconf               delete  delete_build_conf       body
whatsnew                get     whatsnew
index                   put     index                   body
index_manager           get     index_info
indexes_by_name         get     indexes_by_name
quick_index             post    quick_index             body
"""


def endpoints_of(commands: Iterable[str]) -> Endpoints:
    """The endpoints of the commands that exist."""
    known = set(commands)
    endpoints: Endpoints = {}
    for row in _TABLE.split("\n")[1:-1]:
        endpoint, method, command, *how = row.split()
        if command in known:
            body = how == ["body"]
            suffix = how[0] if how and not body else ""
            endpoints.setdefault(endpoint, []).append(EndpointDefinition(command, method, suffix, body))
    return endpoints


def check_endpoints(endpoints: Mapping[str, list[EndpointDefinition]], commands: Iterable[str]) -> None:
    """Every endpoint has its command. Raises ``ValueError`` naming the endpoint and the nearest command."""
    known = set(commands)
    for path, definitions in endpoints.items():
        for definition in definitions:
            if definition.name not in known:
                meant = hint(definition.name, known)
                raise ValueError(f"API endpoint {path!r}: no command {definition.name!r}{meant}")


def read_only(endpoints: Mapping[str, list[EndpointDefinition]]) -> Endpoints:
    """The part of ``endpoints`` that only reads: the method GET."""
    kept = {path: [d for d in definitions if d.method == "get"] for path, definitions in endpoints.items()}
    return {path: definitions for path, definitions in kept.items() if definitions}
