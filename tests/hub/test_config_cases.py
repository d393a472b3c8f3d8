"""Acceptance cases 65 to 72: the configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.api import LocalHub
from hubkernel.hub.config import ConfigError, HubConfig, known_names
from hubkernel.hub.config_comments import Comment, read_comments
from hubkernel.hub.config_page import ELSEWHERE
from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer
from hubkernel.store import StateStore
from tests.hub.test_launching import write_plugin


def words(text: str) -> list[str]:
    return text.split()


OLD = words("""
    HUB_NAME HUB_ICON HUB_SSH_PORT HUB_API_PORT READONLY_HUB_API_PORT HUB_PASSWD SLACK_WEBHOOK USE_RELOADER
    ACTIVE_DATASOURCES SKIP_DUMPER_SCHEDULE SKIP_UPLOADER_POLL AUTO_ARCHIVE_CONFIG DOCKER_CONFIG DOCKER_HOST
    DATA_ARCHIVE_ROOT RUN_DIR CACHE_FOLDER DIFF_PATH RELEASE_PATH DATA_UPLOAD_FOLDER ES_BACKUPS_FOLDER
    LOG_FOLDER DATA_PLUGIN_FOLDER LOGGER_NAME INDEX_CONFIG SNAPSHOT_CONFIG AUTO_SNAPSHOT_CLEANUP_CONFIG
    MAX_REPORTED_IDS MAX_RANDOMLY_PICKED MAX_DIFF_SIZE RELEASE_CONFIG STANDALONE_AWS_CREDENTIALS
    STANDALONE_CONFIG STANDALONE_VERSION VERSION_URLS AUTOHUB_VALIDATOR_CLASS SKIP_CHECK_COMPAT
    AUTO_RELEASE_CONFIG RELEASE_KEEP_N_RECENT_INDICES SYNC_BATCH_SIZE HUB_MAX_MEM_USAGE HUB_MAX_WORKERS
    MAX_SYNC_WORKERS MAX_QUEUED_JOBS DATA_SRC_SERVER DATA_SRC_PORT DATA_SRC_DATABASE DATA_SRC_SERVER_USERNAME
    DATA_SRC_SERVER_PASSWORD DATA_TARGET_SERVER DATA_TARGET_PORT DATA_TARGET_DATABASE
    DATA_TARGET_SERVER_USERNAME DATA_TARGET_SERVER_PASSWORD DATA_HUB_DB_DATABASE DATA_SRC_MASTER_COLLECTION
    DATA_SRC_DUMP_COLLECTION DATA_SRC_BUILD_COLLECTION DATA_SRC_BUILD_CONFIG_COLLECTION DATA_PLUGIN_COLLECTION
    API_COLLECTION CMD_COLLECTION EVENT_COLLECTION HUB_CONFIG_COLLECTION DATA_TARGET_MASTER_COLLECTION
    HUB_DB_BACKEND HUB_ENV CONFIG_READONLY SKIP_CHECK_VERSIONS CACHE_FORMAT BIOTHINGS_ROLE APITEST_PATH
    APITEST_CONFIG HOOKS_FOLDER HUB_REFRESH_COMMANDS HUB_CHECK_UPGRADE TORNADO_SETTINGS SLACK_MENTIONS
    AUTOHUB_INDEXER_FACTORY AUTOHUB_ES_HOST PUBLISH_CONFIG APITEST_ROOT APITEST_CONFIG_ROOT
""")

OWED = words("""
    SKIP_CHECK_VERSIONS AUTO_ARCHIVE_CONFIG
    ES_BACKUPS_FOLDER SNAPSHOT_CONFIG AUTO_SNAPSHOT_CLEANUP_CONFIG MAX_REPORTED_IDS
    MAX_RANDOMLY_PICKED MAX_DIFF_SIZE RELEASE_CONFIG PUBLISH_CONFIG STANDALONE_AWS_CREDENTIALS STANDALONE_CONFIG
    STANDALONE_VERSION VERSION_URLS AUTOHUB_VALIDATOR_CLASS AUTOHUB_INDEXER_FACTORY AUTOHUB_ES_HOST
    SKIP_CHECK_COMPAT AUTO_RELEASE_CONFIG RELEASE_KEEP_N_RECENT_INDICES SYNC_BATCH_SIZE APITEST_PATH
    APITEST_CONFIG APITEST_ROOT APITEST_CONFIG_ROOT
""")
"""Options of stages that are not here yet."""


def python(home: HubHome, text: str, state: StateStore | None = None, **environ: str) -> HubConfig:
    home.config_file.with_name("config.py").write_text(text)
    return HubConfig.load(home, state=state, environ=environ)


def shown(config: HubConfig) -> dict[str, Any]:
    return dict(config.show()["scope"]["config"])


@pytest.fixture
def hub(home: HubHome) -> Iterator[LocalHub]:
    write_plugin(home.plugins / "colors", home.root.parent)
    server = HubServer.open(home)
    server.run_in_thread()
    hub = LocalHub(server)
    yield hub
    hub.close()


def test_every_old_option_is_a_setting_or_has_its_reason() -> None:
    for name in OLD:
        assert (name in known_names()) + (name in ELSEWHERE) + (name in OWED) == 1, name
    assert {*ELSEWHERE, *OWED} <= set(OLD)


# 65: comments of Python modules.


MODULE = """
# doc1
# doc2
A = 1

#* Sec *#
# of B
#- readonly -#
#- hide -#
B = 2  # first
C = 3
# dropped

D = "# no comment"
# * Other *#
#nospace
#- hidden -#
# - invisible - #
E = (
    # inside is nobody's
    5,
)
if True:
    # in a block
    F = G = 6
#* *#
#- skip -#
# text
H: int = 7
def f():
    LOCAL = 1
"""


def test_core_c65_comments_describe_settings() -> None:
    found = read_comments(MODULE)
    assert found == {
        "A": Comment(4, None, "doc1 doc2"),
        "B": Comment(10, "Sec", "first of B", readonly=True, hidden=True),
        "C": Comment(11, "Sec", None),
        "D": Comment(14, "Sec", None),
        "E": Comment(19, "Other", None, hidden=True, invisible=True),
        "F": Comment(25, "Other", "in a block"),
        "G": Comment(25, "Other", "in a block"),
        "H": Comment(29, None, "text"),
    }


def test_core_c65_they_are_shown_and_obeyed(home: HubHome, state: StateStore) -> None:
    text = """
#* Mine *#
# What we call it
HUB_NAME = "x"
#- readonly -#
HUB_MAX_WORKERS = 3
#- hide -#
BUCKET = "b"
#- invisible -#
INNER = 1
"""
    config = python(home, text)
    entries = shown(config)
    assert (entries["hub_name"]["desc"], entries["hub_name"]["section"]) == ("What we call it", "Mine")
    assert entries["max_workers"]["readonly"] is True
    assert (entries["BUCKET"]["value"], entries["BUCKET"]["hidden"]) == ("********", True)
    assert "INNER" not in entries
    assert entries["max_threads"]["section"] == "Jobs"
    for name in ("HUB_MAX_WORKERS", "max_workers", "INNER"):
        with pytest.raises(ConfigError, match="marked as read-only in the configuration file"):
            config.store(state, name, 5)
    assert state["hub_config"].count() == 0


# 66: show.


def test_core_c66_the_keys_of_show(home: HubHome) -> None:
    config = python(home, 'HUB_NAME = "x"\nMINE = 1\nMY_PASSWORD = "planted"\nFUNCTION = print\n')
    found = config.show()
    assert sorted(found) == ["_dirty", "allow_edits", "scope"]
    assert sorted(found["scope"]) == ["class", "config"]
    assert (found["_dirty"], found["allow_edits"], found["scope"]["class"]) == (False, True, {})
    entries = found["scope"]["config"]
    assert set(HubConfig.model_fields) <= set(entries)
    assert (entries["MINE"]["value"], entries["MINE"]["default"], entries["MINE"]["section"]) == (1, 1, None)
    assert entries["hub_name"]["value"] == entries["hub_name"]["default"] == "x"
    assert entries["index_config"]["name"] == "INDEX_CONFIG"
    assert (entries["MY_PASSWORD"]["value"], entries["MY_PASSWORD"]["secret"]) == ("********", True)
    assert "value" not in entries["FUNCTION"]
    json.dumps(found)
    assert "planted" not in str(found)


# 67: setconf.


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("HUB_NAME", "plain", "plain"),
        ("HUB_NAME", '"json"', "json"),
        ("HUB_NAME", "5", "5"),
        ("HUB_NAME", "true", "true"),
        ("max_workers", "5", 5),
        ("max_workers", 5, 5),
        ("max_workers", "null", None),
        ("max_memory", "auto", "auto"),
        ("max_memory", "1000", 1000),
        ("skip_uploader_poll", "true", True),
        ("plugin_folders", ["/a", "/b"], ["/a", "/b"]),
        ("plugin_folders", '["/a"]', ["/a"]),
        ("active_datasources", ["a.b"], ["a.b"]),
        ("index_config", '{"env": {}}', {"env": {}}),
        ("ssh_port", "null", None),
        ("search_url", '"embedded:///x"', "embedded:///x"),
        ("logins", {"h": "env:X"}, {"h": "env:X"}),
    ],
)
def test_core_c67_setconf_takes_values_and_their_json(
    home: HubHome, state: StateStore, name: str, given: Any, value: Any
) -> None:
    config = HubConfig.load(home, environ={})
    assert config.store(state, name, given)["value"] == value
    again = HubConfig.load(home, state=state, environ={})
    assert shown(again)[config.known(name)]["value"] == value
    assert again.source(config.known(name)) == "setconf"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("max_workers", "many", "max_workers: Input should be a valid integer"),
        ("max_workers", [1], "max_workers: "),
        ("hub_name", 5, "hub_name: Input should be a valid string"),
        ("plugin_folders", 3, "plugin_folders: Input should be a valid list"),
        ("skip_uploader_poll", "perhaps", "skip_uploader_poll: "),
        ("logins", {"h": "me:planted"}, "write where the login is"),
        ("MINE", "text", "MINE takes int, as in the configuration file"),
        ("MINE", True, "MINE takes int"),
        ("MINES", 1, "unknown setting 'MINES'; did you mean 'MINE'"),
        ("MY_TOKEN", "x", "MY_TOKEN is secret"),
        ("state_url", "x", "read before the state is"),
    ],
)
def test_core_c67_what_does_not_fit_changes_nothing(
    home: HubHome, state: StateStore, name: str, value: Any, says: str
) -> None:
    config = python(home, "MINE = 1\nMY_TOKEN = 'planted'\n")
    before = config.show()
    with pytest.raises(ConfigError, match=says) as caught:
        config.store(state, name, value)
    assert "planted" not in str(caught.value)
    assert (config.show(), state["hub_config"].count()) == (before, 0)


def test_core_c67_a_readonly_configuration_is_not_edited(home: HubHome, state: StateStore) -> None:
    config = python(home, "CONFIG_READONLY = True\nMINE = 1\n")
    assert config.show()["allow_edits"] is False
    for name in ("hub_name", "MINE", "MyDumper.SCHEDULE"):
        with pytest.raises(ConfigError, match="the configuration is read-only"):
            config.store(state, name, "x")
    assert state["hub_config"].count() == 0


def test_core_c67_a_name_of_the_users_own_module(home: HubHome, state: StateStore) -> None:
    config = python(home, "MINE = 1\n")
    assert config.store(state, "MINE", "2") == {"name": "MINE", "value": 2, "needs_restart": True}
    entry = shown(config)["MINE"]
    assert (entry["value"], entry["default"]) == (1, 1)
    again = python(home, "MINE = 1\n", state)
    assert again.others == {"MINE": 2}
    entry = shown(again)["MINE"]
    assert (entry["value"], entry["default"], entry["source"]) == (2, 1, "setconf")
    assert entry["diff"] == [{"op": "replace", "path": "", "value": 2}]


# 68: resetconf.


def test_core_c68_one_setting_goes_back_to_the_file(home: HubHome, state: StateStore) -> None:
    config = python(home, "HUB_NAME = 'File'\nHUB_MAX_WORKERS = 2\n")
    config.store(state, "HUB_NAME", "Mine")
    config.store(state, "HUB_MAX_WORKERS", 4)
    assert (config.hub_name, config.show()["_dirty"]) == ("Mine", True)
    assert config.reset(state, "HUB_NAME") == ["hub_name"]
    assert (config.hub_name, config.source("hub_name")) == ("File", f"{home.root}/config.py, HUB_NAME")
    assert config.show()["_dirty"] is True
    assert config.reset(state, "max_workers") == ["max_workers"]
    assert config.show()["_dirty"] is False


def test_core_c68_all_overrides_are_removed(home: HubHome, state: StateStore) -> None:
    config = python(home, "MINE = 1\n")
    for name, value in (("hub_name", "x"), ("max_threads", 3), ("MINE", 2), ("MyDumper.SCHEDULE", "0 9 * * *")):
        config.store(state, name, value)
    assert config.show()["_dirty"] is True
    assert sorted(config.reset(state)) == ["MINE", "MyDumper.SCHEDULE", "hub_name", "max_threads"]
    assert state["hub_config"].count() == 0
    found = config.show()
    assert (found["_dirty"], found["scope"]["class"], config.hub_name) == (False, {}, "BioThings Hub")


def test_core_c68_what_was_started_with_needs_a_restart(home: HubHome, state: StateStore) -> None:
    HubConfig.load(home, environ={}).store(state, "max_threads", 3)
    config = HubConfig.load(home, state=state, environ={})
    assert (config.max_threads, config.show()["_dirty"]) == (3, False)
    config.reset(state)
    assert (config.max_threads, config.show()["_dirty"]) == (3, True)


def test_core_c68_over_the_commands(hub: LocalHub) -> None:
    assert hub.call("setconf", "HUB_NAME", "Mine")["needs_restart"] is False
    assert hub.call("status")["hub"]["name"] == "Mine"
    assert hub.call("resetconf", "HUB_NAME") == ["hub_name"]
    assert hub.call("status")["hub"]["name"] == "BioThings Hub"
    assert hub.call("resetconf") == []


# 69: attributes of classes and sources.


def test_core_c69_a_class_is_changed_when_it_is_registered(
    home: HubHome, state: StateStore, caplog: pytest.LogCaptureFixture
) -> None:
    class MyDumper:
        SCHEDULE: str | None = None

    config = HubConfig.load(home, environ={})
    stored = config.store(state, "MyDumper.SCHEDULE", "0 9 * * *")
    assert stored == {"name": "MyDumper.SCHEDULE", "value": "0 9 * * *", "needs_restart": True}
    assert config.show()["scope"]["class"] == {"MyDumper.SCHEDULE": "0 9 * * *"}
    again = HubConfig.load(home, state=state, environ={})
    again.store(state, "MyDumper.SCHEDUL", 1)
    assert again.supersede(MyDumper) is MyDumper
    assert MyDumper.SCHEDULE == "0 9 * * *"
    assert "setconf MyDumper.SCHEDUL: no such attribute; did you mean 'SCHEDULE'?" in caplog.text


def test_core_c69_a_source_is_changed_when_it_is_loaded(hub: LocalHub) -> None:
    def download() -> Any:
        return hub.call("source_info", "colors")["download"]["dumper"]

    assert (download()["schedule"], download()["disabled"]) == (None, False)
    hub.call("setconf", "colors.SCHEDULE", "0 9 * * *")
    hub.call("setconf", "colors.DISABLED", "true")
    hub.call("reload")
    assert (download()["schedule"]["cron"], download()["disabled"]) == ("0 9 * * *", True)
    for name, value, says in (
        ("colors.SCHEDULE", "sometimes", "colors.SCHEDULE: .*cron"),
        ("colors.SCHEDUL", "0 9 * * *", "colors.SCHEDUL: no such key; did you mean 'schedule'"),
        ("colours.SCHEDULE", "0 9 * * *", "no class or source 'colours'; did you mean 'colors'"),
    ):
        with pytest.raises(ConfigError, match=says):
            hub.call("setconf", name, value)
    hub.call("resetconf", "colors.DISABLED")
    for name, value in (("colors.SCHEDULE", "sometimes"), ("colors.SCHEDUL", "0 9 * * *")):  # by another version, say
        hub.server.config.store(hub.server.state, name, value)
    hub.call("reload")
    assert (download()["schedule"], download()["disabled"]) == (None, False)
    warnings = " ".join(hub.call("source_info", "colors")["data_plugin"]["warnings"])
    assert "setconf colors.SCHEDULE: " in warnings
    assert "setconf colors.SCHEDUL: no such key; did you mean 'schedule'?" in warnings


def test_core_c69_a_builder_class_is_changed_at_the_start(home: HubHome, state: StateStore) -> None:
    from hubkernel.pipeline.build.builder import DataBuilder

    HubConfig.load(home, environ={}).store(state, "DataBuilder.__doc__", "Changed.")
    before = DataBuilder.__doc__
    server = HubServer.open(home, features=["job", "build"])
    try:
        server.configure()
        (described,) = server.launch("build_config_info")["builder_classes"].values()
        assert described["desc"] == "Changed."
    finally:
        server.shutdown()
        DataBuilder.__doc__ = before


# 70: what follows from other settings.


def test_core_c70_folders_follow_the_data_root(home: HubHome) -> None:
    config = python(home, "DATA_ARCHIVE_ROOT = '/data/x/datasources'\nHUB_API_PORT = 7080\n")
    assert (config.diff_folder, config.log_folder) == (Path("/data/x/diff"), Path("/data/x/logs"))
    assert (config.release_folder, config.upload_folder) == (Path("/data/x/release"), Path("/data/x/dataupload"))
    assert config.readonly_port == 7081
    config = python(home, "DATA_ARCHIVE_ROOT = '/data/y/'\nDIFF_PATH = '/d'\nREADONLY_HUB_API_PORT = 9\n")
    assert (config.diff_folder, config.log_folder) == (Path("/d"), Path("/data/y/logs"))
    assert (config.studio_port, config.readonly_port) == (None, 9)
    assert HubConfig.load(HubHome(home.root / "none"), environ={}).log_folder is None


def test_core_c70_logs_and_uploads_go_there(home: HubHome) -> None:
    write_plugin(home.plugins / "colors", home.root.parent)
    root = home.root.parent / "data"
    home.config_file.write_text(f'data_root = "{root}/datasources"\n')
    server = HubServer.open(home)
    server.run_in_thread()
    hub = LocalHub(server)
    try:
        assert server.upload_root == root / "dataupload"
        hub.call("dump", "colors").result(30)
        assert (root / "logs" / "dataload" / "dump_colors.log").exists()
        server.launcher.run("reload", server_origin())
        assert (root / "logs" / "audit.log").exists()
    finally:
        hub.close()


def server_origin() -> Any:
    from hubkernel.hub.launching import HUB

    return HUB


# 71: what has to be given.


REQUIRED = """
from hubkernel.hub.config_values import ConfigurationDefault, ConfigurationError, ConfigurationValue

BUCKET = ConfigurationError("the bucket that releases go to")
HUB_MAX_WORKERS = ConfigurationError("how many workers this machine bears")
HUB_NAME = ConfigurationDefault(default="Given", desc="what we call it")
LOGS = ConfigurationValue("ROOT + '/logs'")
ROOT = "/data"
NESTED = {"a": [ConfigurationValue("ROOT")], "b": ConfigurationDefault(1)}
"""


def test_core_c71_a_missing_setting_is_named_and_the_hub_starts(
    home: HubHome, caplog: pytest.LogCaptureFixture
) -> None:
    home.config_file.with_name("config.py").write_text(REQUIRED)
    server = HubServer.open(home, features=["job", "config"])
    server.run_in_thread()
    try:
        assert "the setting BUCKET has to be given: the bucket that releases go to" in caplog.text
        assert "the setting HUB_MAX_WORKERS has to be given: how many" in caplog.text
        entries = server.launch("config")["scope"]["config"]
        assert entries["BUCKET"]["error"] == "the bucket that releases go to"
        assert "value" not in entries["BUCKET"]
        assert (entries["hub_name"]["value"], entries["hub_name"]["desc"]) == ("Given", "what we call it")
        assert server.config.others == {"LOGS": "/data/logs", "ROOT": "/data", "NESTED": {"a": ["/data"], "b": 1}}
        assert list(server.launch("status")["hub"]["missing_settings"]) == ["BUCKET", "HUB_MAX_WORKERS"]
    finally:
        server.shutdown()


def test_core_c71_the_environment_gives_it(home: HubHome) -> None:
    config = python(home, REQUIRED, HUBKERNEL_MAX_WORKERS="2")
    assert (config.max_workers, list(config.missing)) == (2, ["BUCKET"])


def test_core_c71_a_wrong_expression_names_its_setting(home: HubHome) -> None:
    text = "from hubkernel.hub.config_values import ConfigurationValue\nLOGS = ConfigurationValue('NOWHERE + 1')\n"
    with pytest.raises(ConfigError, match=r"config\.py, LOGS: NameError: name 'NOWHERE' is not defined"):
        python(home, text)


# 72: stages that are not configured.


def test_logins_reach_the_dumps(home: HubHome) -> None:
    home.config_file.write_text('[logins]\n"data.org" = "env:DATA_LOGIN"\n')
    server = HubServer.open(home, features=["job", "dump"])
    try:
        server.configure()
        assert server.managers["dump_manager"].settings.policy.logins == {"data.org": "env:DATA_LOGIN"}
        assert server.launch("dump_info") == []
    finally:
        server.shutdown()


def test_core_c72_without_release_settings_everything_else_answers(hub: LocalHub) -> None:
    assert hub.call("config")["scope"]["config"]["hub_name"]["value"] == "BioThings Hub"
    assert "release" in hub.call("status")["hub"]["unavailable"]
