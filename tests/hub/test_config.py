from __future__ import annotations

from pathlib import Path

import pytest

from hubkernel.hub.config import ConfigError, HubConfig, masked
from hubkernel.hub.config_page import settings_table
from hubkernel.hub.home import HubHome
from hubkernel.store import StateStore

SECRET = "$argon2id$v=19$planted-secret"


def load(home: HubHome, text: str | None = None, **environ: str) -> HubConfig:
    if text is not None:
        home.config_file.write_text(text)
    return HubConfig.load(home, environ=environ)


def test_defaults_without_a_file(home: HubHome) -> None:
    config = load(home)
    assert (config.hub_name, config.max_workers, config.ssh_port) == ("BioThings Hub", None, None)
    assert config.source("hub_name") == "default"


def test_toml_in_new_and_old_spelling(home: HubHome) -> None:
    config = load(home, 'hub_name = "A"\nHUB_MAX_WORKERS = 3\nplugin_folders = ["more"]\n')
    assert (config.hub_name, config.max_workers) == ("A", 3)
    assert config.plugin_folders == [home.root / "more"]
    assert config.source("max_workers") == f"{home.config_file}, line 2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('# a hub\nhub_nam = "x"\n', "line 2: unknown setting 'hub_nam'; did you mean 'hub_name'?"),
        ("max_workers = 0\n", "line 1: max_workers: Input should be greater than or equal to 1"),
        ("\n\nmax_threads = 'many'\n", "line 3: max_threads: Input should be a valid integer"),
        ("hub_name = \n", "not valid TOML: Invalid value (at line 1"),
        ('hub_name = "a"\nHUB_NAME = "b"\n', "line 2: 'HUB_NAME' is given twice (also as 'hub_name')"),
        ("[hub]\nname = 1\n", "line 1: unknown setting 'hub'"),
        ("[ssh_passwords]\nme = 3\n", "line 1: ssh_passwords.me: Input should be a valid string"),
    ],
)
def test_a_mistake_names_file_line_and_setting(home: HubHome, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(home, text)
    assert str(home.config_file) in str(caught.value)
    assert message in str(caught.value)


def test_all_mistakes_come_at_once(home: HubHome) -> None:
    with pytest.raises(ConfigError) as caught:
        load(home, "max_workers = 0\nmax_threads = 0\n")
    assert len(str(caught.value).splitlines()) == 2


def test_a_python_module_keeps_what_is_not_the_hubs(home: HubHome) -> None:
    file = home.config_file.with_name("config.py")
    file.write_text('import os\nHUB_NAME = "From " + "Python"\nHUB_SSH_PORT = 7022\nMY_BUCKET = "b"\nlower = 1\n')
    config = load(home)
    assert (config.hub_name, config.ssh_port, config.others) == ("From Python", 7022, {"MY_BUCKET": "b"})


def test_a_typo_in_a_python_module(home: HubHome) -> None:
    home.config_file.with_name("config.py").write_text("HUB_NAMES = 'x'\n")
    with pytest.raises(ConfigError, match=r"config\.py: unknown setting 'HUB_NAMES'; did you mean 'HUB_NAME'\?"):
        load(home)


def test_a_failing_python_module_names_the_users_line(home: HubHome) -> None:
    home.config_file.with_name("config.py").write_text("A = 1\nB = A / 0\n")
    with pytest.raises(ConfigError, match=r"config\.py, line 2: ZeroDivisionError"):
        load(home)


def test_two_files_are_one_too_many(home: HubHome) -> None:
    home.config_file.with_name("config.py").write_text("")
    with pytest.raises(ConfigError, match="keep one"):
        load(home, "")


def test_the_environment_wins(home: HubHome) -> None:
    config = load(home, "max_workers = 2\n", HUBKERNEL_MAX_WORKERS="5", HUBKERNEL_SSH_PASSWORDS='{"a": "b"}')
    assert config.max_workers == 5
    assert config.ssh_passwords["a"].get_secret_value() == "b"
    assert config.source("max_workers") == "environment variable HUBKERNEL_MAX_WORKERS"


def test_mistakes_in_the_environment(home: HubHome) -> None:
    with pytest.raises(ConfigError, match="HUBKERNEL_MAX_WORKER: no such setting; did you mean"):
        load(home, None, HUBKERNEL_MAX_WORKER="5")
    with pytest.raises(ConfigError, match="environment variable HUBKERNEL_SSH_PASSWORDS: not valid JSON"):
        load(home, None, HUBKERNEL_SSH_PASSWORDS="{a}")
    load(home, None, HUBKERNEL_HOME="x", HUBKERNEL_SOMETHING_ELSE="y")


def test_no_output_shows_a_secret(home: HubHome) -> None:
    config = load(
        home,
        f'search_url = "https://me:hunter2@es:9200"\nssh_passwords = {{me = "{SECRET}"}}\n'
        '[index_config.env.prod.indexer.args]\napi_key = "hunter2"\n',
    )
    shown = f"{config!r} {config} {config.show()}"
    assert SECRET not in shown
    assert "hunter2" not in shown
    assert "https://me:********@es:9200" in shown


def test_an_error_does_not_repeat_a_secret(home: HubHome) -> None:
    with pytest.raises(ConfigError) as caught:
        load(home, f'ssh_passwords = "{SECRET}"\n')
    assert SECRET not in str(caught.value)


def test_masked_leaves_other_urls_alone() -> None:
    assert masked("mongodb://host:27017/db") == "mongodb://host:27017/db"


def test_setconf_is_kept_for_the_next_start(home: HubHome, state: StateStore) -> None:
    config = load(home, "max_workers = 2\n")
    assert config.store(state, "HUB_NAME", "Mine") == {"name": "hub_name", "value": "Mine", "needs_restart": False}
    assert config.hub_name == "Mine"
    assert config.store(state, "max_workers", 4)["needs_restart"] is True
    assert config.max_workers == 2
    assert config.show()["_dirty"] is True
    again = HubConfig.load(home, state=state, environ={})
    assert (again.hub_name, again.max_workers, again.source("max_workers")) == ("Mine", 4, "setconf")


def test_setconf_refuses_and_changes_nothing(home: HubHome, state: StateStore) -> None:
    config = load(home, None, HUBKERNEL_MAX_THREADS="3")
    for name, value, reason in [
        ("max_workerz", 1, r"unknown setting 'max_workerz'; did you mean 'max_workers'\?"),
        ("max_workers", "many", "max_workers: Input should be a valid integer"),
        ("ssh_passwords", {"a": "b"}, "ssh_passwords is secret"),
        ("search_url", "https://me:pw@es", "search_url holds a password"),
        ("max_threads", 4, "fixed by the environment variable HUBKERNEL_MAX_THREADS"),
        ("state_url", "sqlite:///x", "read before the state is"),
    ]:
        with pytest.raises(ConfigError, match=reason):
            config.store(state, name, value)
    assert state.collection("hub_config").count() == 0


def test_a_readonly_configuration(home: HubHome, state: StateStore) -> None:
    config = load(home, "config_readonly = true\n")
    with pytest.raises(ConfigError, match="read-only"):
        config.store(state, "hub_name", "x")
    with pytest.raises(ConfigError, match="read-only"):
        config.reset(state)


def test_resetconf_goes_back_to_the_file(home: HubHome, state: StateStore) -> None:
    config = load(home, 'hub_name = "File"\n')
    config.store(state, "hub_name", "Mine")
    config.store(state, "max_threads", 4)
    assert config.reset(state, "hub_name") == ["hub_name"]
    assert config.hub_name == "File"
    assert config.reset(state) == ["max_threads"]
    assert state.collection("hub_config").count() == 0


def test_every_setting_is_documented() -> None:
    for name, info in HubConfig.model_fields.items():
        assert info.description, name
    page = Path(__file__).parents[2] / "docs/operators/settings.md"
    assert page.read_text() == settings_table(), "run: python -m hubkernel.hub.reference"


def test_plugins_read_plain_settings_and_no_secrets(home: HubHome) -> None:
    file = home.config_file.with_name("config.py")
    file.write_text(
        'HUB_NAME = "Mine"\nMY_BUCKET = "b"\nMY_THING = object()\nSTORE_URL = "mongodb://me:planted@host/db"\n'
        'SLACK_WEBHOOK = "https://planted"\n'
    )
    config = HubConfig.load(home, environ={"HUBKERNEL_SSH_PASSWORDS": f'{{"me": "{SECRET}"}}'})
    settings = config.for_plugins()
    assert settings["HUB_NAME"] == "Mine" and settings["MY_BUCKET"] == "b" and settings["MAX_WORKERS"] is None
    assert settings["HUB_MAX_WORKERS"] is None
    assert "planted" not in repr(settings) and SECRET not in repr(settings)
    assert "MY_THING" not in settings and "STORE_URL" not in settings
