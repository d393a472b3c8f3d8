"""Which command stands at which path of the hub's REST API, as data; the web server that serves it is a door."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hubkernel.hub.names import hint
from hubkernel.hub.openapi_fixed import FIXED


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
stop                    put     stop
restart                 put     restart
code/upgrade            put     upgrade
dump_manager            get     dump_info
upload_manager          get     upload_info
sources                 get     sources
source                  get     source_info
source                  post    source_reset            reset
source                  put     dump                    dump
source                  put     mark_dump_success       mark_dump_success
source                  put     upload                  upload
source                  get     upload_versions         versions
source                  put     upload_rollback         rollback
source                  put     update_source_meta      update_source_meta
source                  put     source_save_mapping     mapping
source                  put     source_save_pydantic_model  create_validation
source                  post    source_pydantic_validation  validate
source                  get     source_validations      validations
inspect                 put     inspect                 body
flatten_inspection_data put     flatten_inspection_data body
dataplugin/register_url     post    register_url        body
dataplugin/unregister_url   delete  unregister_url      body
dataplugin              put     dump_plugin             dump
dataplugin              put     export_plugin           export
jsondiff                post    jsondiff                body
mapping/validate        post    validate_mapping        body
builds                  get     builds
build                   get     build
build                   delete  rmmerge
build                   post    archive                 archive
build                   put     merge                   new
build                   put     build_save_mapping      mapping
build_manager           get     build_config_info
buildconf               post    create_build_conf       body
buildconf               put     update_build_conf       body
buildconf               delete  delete_build_conf       body
whatsnew                get     whatsnew
auto_archive            post    auto_archive            body
diff                    put     diff                    body
diff_manager            get     diff_info
index                   put     index                   body
index_manager           get     index_info
indexes_by_name         get     indexes_by_name
snapshot                put     snapshot                body
snapshot_manager        get     snapshot_info
list_snapshots          get     list_snapshots
delete_snapshots        put     delete_snapshots        body
validate_snapshots      post    validate_snapshots
release_manager         get     release_info
release_manager         put     reset_synced            reset_synced body
release_note            get     get_release_note        body
release_note/create     put     create_release_note     body
publish/incremental     post    publish_diff            body
publish/full            post    publish_snapshot        body
sync                    post    sync                    body
api/list                get     get_apis
api                     post    create_api              body
api                     delete  delete_api              body
api                     put     start_api               start
api                     put     stop_api                stop
api                     post    test_api                test
quick_index             post    quick_index             body
standalone/list         get     list
standalone              get     versions                versions
standalone              get     check                   check
standalone              get     info                    info
standalone              get     backend                 backend
standalone              delete  reset_backend           backend
standalone              post    download                download
standalone              post    apply                   apply
standalone              post    install                 install
"""
"""Endpoint, verb, command, suffix, ``body`` for ``force_bodyargs``. A row counts once its command exists."""


def endpoints_of(commands: Iterable[str]) -> Endpoints:
    """The endpoints of the commands that exist."""
    known = set(commands)
    endpoints: Endpoints = {}
    for row in _TABLE.strip().split("\n"):
        endpoint, method, command, *how = row.split()
        if command in known:
            suffix = next((word for word in how if word != "body"), "")
            definition = EndpointDefinition(command, method, suffix, "body" in how)
            endpoints.setdefault(endpoint, []).append(definition)
    return endpoints


RESERVED = {"call"} | {path.split("/")[1] for path in FIXED}
"""What the hub has there itself, as the begin of a path."""


def check_endpoints(endpoints: Mapping[str, list[EndpointDefinition]], commands: Iterable[str]) -> None:
    """Every endpoint has its command and a path of its own. Raises ``ValueError`` naming the endpoint and the nearest
    command.
    """
    known = set(commands)
    for path, definitions in endpoints.items():
        if path.strip("/").split("/")[0] in RESERVED:
            raise ValueError(f"API endpoint {path!r}: the hub itself has this path; choose another name")
        for definition in definitions:
            if definition.name not in known:
                meant = hint(definition.name, known)
                raise ValueError(f"API endpoint {path!r}: no command {definition.name!r}{meant}")


def read_only(endpoints: Mapping[str, list[EndpointDefinition]]) -> Endpoints:
    """The part of ``endpoints`` that only reads: the method GET."""
    kept = {path: [d for d in definitions if d.method == "get"] for path, definitions in endpoints.items()}
    return {path: definitions for path, definitions in kept.items() if definitions}
