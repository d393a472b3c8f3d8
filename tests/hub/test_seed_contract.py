"""The public face of ``hubkernel.hub`` is that of ``biothings.hub``: every class, base, method, parameter, default.

The tables below are the facts of that contract. What later work owes is named in ``OWED_*``: an item that appears has
to be taken off its list.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import asyncssh
import pytest

import hubkernel.hub
from hubkernel.hub import features
from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer


def words(text: str) -> list[str]:
    return text.split()


NAMES = words("HubCommands HubSSHServer HubSSHServerSession HubServer JobRenderer get_schedule start_ssh_server status")

BASES: dict[str, type] = {
    "HubCommands": OrderedDict,
    "HubSSHServer": asyncssh.SSHServer,
    "HubSSHServerSession": asyncssh.SSHServerSession,
    "HubServer": object,
    "JobRenderer": object,
}

METHODS = {
    "HubSSHServer": """
        begin_auth(username)
        connection_lost(exc)
        connection_made(connection)
        password_auth_supported()
        session_requested()
        validate_password(username, password)
    """,
    "HubSSHServerSession": """
        __init__(name, shell)
        break_received(msec)
        connection_made(chan)
        data_received(data, datatype)
        eof_received()
        eval_lines(lines)
        exec_requested(command)
        session_started()
        shell_requested()
        soft_eof_received()
    """,
    "HubServer": """
        __init__(source_list, features=None, name='BioThings Hub', managers_custom_args=None, api_config=None, \
reloader_config=None, dataupload_config=None, websocket_config=None, autohub_config=None)
        add_api_endpoint(endpoint_name, command_name, method, **kwargs)
        before_configure()
        before_start()
        clean_features(features)
        configure()
        configure_api_endpoints()
        configure_api_manager()
        configure_auto_archive_manager()
        configure_autohub_feature()
        configure_build_manager()
        configure_commands()
        configure_config_feature()
        configure_dataplugin_manager()
        configure_dataupload_feature()
        configure_diff_manager()
        configure_dump_manager()
        configure_extra_commands()
        configure_hooks_feature()
        configure_index_manager()
        configure_inspect_manager()
        configure_ioloop()
        configure_job_manager()
        configure_managers()
        configure_readonly_api_endpoints()
        configure_readonly_feature()
        configure_release_manager()
        configure_reloader_feature()
        configure_remaining_features()
        configure_snapshot_manager()
        configure_source_manager()
        configure_sync_manager()
        configure_terminal_feature()
        configure_upgrade_feature()
        configure_upload_manager()
        configure_ws_feature()
        export_command_documents(filepath)
        get_websocket_urls()
        ingest_hooks()
        mixargs(feat, params=None)
        process_hook_file(hook_file)
        quick_index(datasource_name, doc_type, indexer_env, subsource=None, index_name=None, **kwargs)
        start()
    """,
    "JobRenderer": """
        cron_and_strdelta_info(job)
        render(job)
        render_cron(c)
        render_func(f)
        render_lambda(l)
        render_method(m)
        render_partial(p)
        render_strdelta(job)
    """,
}

FUNCTIONS = """
    get_schedule(loop)
    start_ssh_server(loop, name, passwords, keys=['bin/ssh_host_key'], shell=None, host='', port=8022)
    status(managers)
"""

ATTRIBUTES: dict[tuple[str, str], Any] = {
    ("HubSSHServer", "PASSWORDS"): {},
    ("HubSSHServer", "SHELL"): None,
    ("HubServer", "DEFAULT_API_CONFIG"): {},
    ("HubServer", "DEFAULT_AUTOHUB_CONFIG"): {"es_host": None, "indexer_factory": None, "version_urls": []},
    # There it is a folder below the working directory; here it is relative to the hub's home.
    ("HubServer", "DEFAULT_DATAUPLOAD_CONFIG"): {"upload_root": "dataupload"},
    ("HubServer", "DEFAULT_FEATURES"): [
        "config", "job", "dump", "upload", "dataplugin", "source", "build", "auto_archive", "diff", "index", "snapshot",
        "release", "inspect", "sync", "api", "terminal", "reloader", "dataupload", "ws", "readonly", "upgrade",
        "autohub", "hooks",
    ],
    ("HubServer", "DEFAULT_MANAGERS_ARGS"): {"upload": {"poll_schedule": "* * * * * */10"}},
    ("HubServer", "DEFAULT_RELOADER_CONFIG"): {
        "folders": None,
        "managers": ["source_manager", "assistant_manager"],
        "reload_func": None,
    },
    ("HubServer", "DEFAULT_WEBSOCKET_CONFIG"): {},
}  # fmt: skip

OWED_FEATURES = {
    "auto_archive", "diff", "snapshot", "auto_snapshot_cleaner", "release", "inspect", "sync", "api",
    "autohub",
}  # fmt: skip

COMMANDS = words("""
    status export_command_documents config setconf resetconf source_info source_reset dump dump_all mark_dump_success
    upload upload_all update_source_meta whatsnew lsmerge rmmerge merge archive auto_archive index_config
    snapshot_config publish_config diff report index index_cleanup snapshot snapshot_cleanup list_snapshots
    delete_snapshots validate_snapshots create_release_note get_release_note publish publish_diff publish_snapshot sync
    inspect flatten_inspection_data register_url unregister_url export_plugin dump_plugin list versions info backend
    reset_backend check download apply install indexes_by_name upgrade restart stop backup restore help commands command
""")

HIDDEN = words("""
    sch top job_info schedule sources source_save_mapping source_save_pydantic_model source_pydantic_validation
    source_validations dump_info upload_info builds build build_config_info build_save_mapping create_build_conf
    update_build_conf delete_build_conf diff_info jsondiff index_info validate_mapping update_metadata snapshot_info
    release_info reset_synced get_apis create_api delete_api start_api stop_api test_api quick_index expose
""")

SIGNATURES = """
    status()
    export_command_documents(filepath)
    config()
    setconf(name, value)
    resetconf(name=None)
    source_info(name, debug=False)
    source_reset(name, key='upload', subkey=None)
    dump(src, force=False, skip_manual=False, schedule=False, check_only=False)
    dump_all(force=False)
    mark_dump_success(src, dry_run=True)
    register_url(url)
    unregister_url(url=None, name=None)
    export_plugin(plugin_name, folder=None, what=('dumper', 'uploader', 'mapping'), purge=False)
    dump_plugin(src)
    upload(src, validate=False)
    upload_all(raise_on_error=False)
    update_source_meta(src, dry=False)
    whatsnew(build_name=None, old=None)
    lsmerge(build_config=None, only_archived=False)
    rmmerge(merge_name)
    merge(build_name, sources=None, target_name=None)
    archive(merge_name)
    index(indexer_env, build_name, index_name=None, ids=None)
    index_cleanup(env=None, keep=3, dryrun=True)
    indexes_by_name(index_name=None, env_name=None, limit=10)
    restart(force=False, stop=False)
    stop(force=False)
    backup(folder='.', archive=None)
    restore(archive, drop=False)
    commands(id=None, running=None, failed=None)
    command(id)
    sch()
    top(action='summary')
    job_info()
    schedule(crontab, func, *args, **kwargs)
    sources(id=None, debug=False, detailed=False)
    source_save_mapping(name, mapping=None, dest='master', mode='mapping')
    source_save_pydantic_model(name)
    source_pydantic_validation(name, model_file=None)
    source_validations(name)
    dump_info()
    upload_info()
    builds(id=None, conf_name=None, fields=None, only_archived=False, status=None)
    build(id)
    build_config_info()
    build_save_mapping(name, mapping=None, dest='build', mode='mapping')
    create_build_conf(name, doc_type, sources, roots=None, builder_class=None, params=None, archived=False)
    delete_build_conf(name)
    index_info(remote=False)
    validate_mapping(mapping, env)
    update_metadata(indexer_env, index_name, build_name=None, _meta=None)
    quick_index(datasource_name, doc_type, indexer_env, subsource=None, index_name=None)
    expose(endpoint_name, command_name, method)
    upgrade(code_base='application')
"""
"""What may be given by position, in this order; where the old hub took any keyword (``**kw``), ours names each."""

ELSEWHERE = {"help", "update_build_conf", "index_config"}
"""help takes ``command`` where it was ``func``; an update leaves what is not given as it is; the index environments are
a command here, since doors cannot show objects."""

OWED_COMMANDS = {
    "inspection": "inspect flatten_inspection_data",
    "archiving by age": "auto_archive",
    "environments as objects": "snapshot_config publish_config",
    "diff and sync": "diff report diff_info jsondiff sync reset_synced",
    "snapshots": "snapshot snapshot_cleanup list_snapshots delete_snapshots validate_snapshots snapshot_info",
    "releases": "create_release_note get_release_note publish publish_diff publish_snapshot release_info",
    "autohub": "list versions info backend reset_backend check download apply install",
    "test APIs": "get_apis create_api delete_api start_api stop_api test_api",
}

OURS = {
    *words("cancel count search document documents load_plugin reload run"),
    *words("create_token rotate_token list_tokens revoke_token add_key list_keys revoke_key audit"),
    *words("schedules pause_schedule resume_schedule run_schedule remove_schedule triggers graph job_log"),
    *words("check_upgrade notify upload_versions upload_rollback plugin_cell"),
}
OURS_HIDDEN = {"run_code"}


def signatures(text: str) -> Iterator[tuple[str, inspect.Signature]]:
    for line in text.strip().splitlines():
        name = line.strip().partition("(")[0]
        scope: dict[str, Any] = {}
        exec(f"def {line.strip()}: ...", scope)
        yield name, inspect.signature(scope[name])


def bare(function: Any, *, method: bool) -> list[tuple[str, Any, Any]]:
    parameters = list(inspect.signature(function).parameters.values())[method:]
    return [(p.name, p.kind, p.default) for p in parameters]


def wanted(signature: inspect.Signature) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in signature.parameters.values()]


def test_the_names_are_there_and_load_lazily() -> None:
    assert sorted(hubkernel.hub.__all__) == sorted(NAMES)
    for name in NAMES:
        assert getattr(hubkernel.hub, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'HubSever'"):
        hubkernel.hub.HubSever  # noqa: B018
    code = "import sys, hubkernel.hub; print(sorted({'asyncssh', 'pydantic', 'aiocron'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("name", BASES)
def test_bases(name: str) -> None:
    assert getattr(hubkernel.hub, name).__bases__ == (BASES[name],)


@pytest.mark.parametrize(
    ("owner", "name", "signature"),
    [(owner, name, signature) for owner, text in METHODS.items() for name, signature in signatures(text)],
)
def test_methods(owner: str, name: str, signature: inspect.Signature) -> None:
    function = vars(getattr(hubkernel.hub, owner))[name]
    assert bare(function, method=True) == wanted(signature)


@pytest.mark.parametrize(("name", "signature"), list(signatures(FUNCTIONS)))
def test_functions(name: str, signature: inspect.Signature) -> None:
    function = getattr(hubkernel.hub, name)
    assert bare(function, method=False) == wanted(signature)
    assert inspect.iscoroutinefunction(function) == (name == "start_ssh_server")


@pytest.mark.parametrize(("owner", "name"), ATTRIBUTES)
def test_attributes(owner: str, name: str) -> None:
    assert vars(getattr(hubkernel.hub, owner))[name] == ATTRIBUTES[owner, name]


def test_owed_features() -> None:
    """A feature that now works has to be taken off the list."""
    assert {name for name, feature in features.FEATURES.items() if feature.owed} == OWED_FEATURES


@pytest.fixture
def server(home: HubHome) -> Iterator[HubServer]:
    server = HubServer.open(home)
    server.configure()
    yield server
    server.shutdown()


def test_owed_features_have_their_reason_and_nothing_else(server: HubServer) -> None:
    assert set(server.unavailable) == OWED_FEATURES - {"auto_snapshot_cleaner"}
    assert set(server.managers) == {
        f"{name}_manager" for name in ("job", "dump", "upload", "dataplugin", "source", "build", "index")
    }


def test_arguments_have_their_places_and_defaults(server: HubServer) -> None:
    known = {**server.extra_commands, **server.commands}
    wanted_ones = dict(signatures(SIGNATURES))
    assert set(wanted_ones) == set(known) - OURS - OURS_HIDDEN - ELSEWHERE
    for name, signature in wanted_ones.items():
        ours, theirs = bare(known[name], method=False), wanted(signature)
        assert ours[: len(theirs)] == theirs, name


def test_every_command_is_there_or_owed(server: HubServer) -> None:
    """A command that now exists has to be taken off the list."""
    owed = {name for names in OWED_COMMANDS.values() for name in names.split()}
    assert set(server.commands) == (set(COMMANDS) - owed) | OURS
    assert set(server.extra_commands) == (set(HIDDEN) - owed) | OURS_HIDDEN
    assert owed <= {*COMMANDS, *HIDDEN}
    for command in [*server.commands.values(), *server.extra_commands.values()]:
        assert command.doc, command.name
