"""Acceptance cases 1 to 14 of the hub's core. (73, 74 and 78 are in test_schedule.py and test_backup.py.)"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hubkernel.hub.commands import HubCommands
from hubkernel.hub.features import DEFAULT_FEATURES, FeatureError
from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubError, HubServer

Make = Callable[..., HubServer]


@pytest.fixture
def make(home: HubHome) -> Iterator[Make]:
    """Makes servers that are shut down at the end of the test."""
    made: list[HubServer] = []

    def build(features: list[str] | None = None, cls: type[HubServer] = HubServer, **arguments: Any) -> HubServer:
        made.append(cls([], features=features, **arguments))
        return made[-1]

    yield build
    for server in made:
        server.shutdown()


def configured(server: HubServer) -> HubServer:
    server.configure()
    return server


def test_core_c01_duplicates_are_removed(make: Make) -> None:
    assert make().clean_features(["job", "job", "config"]) == ["job", "config"]
    assert make(["job", "job", "config"]).features == ["job", "config"]


def test_core_c02_attributes_are_the_defaults(make: Make) -> None:
    server = make()
    assert server.source_list == []
    assert server.name == "BioThings Hub"
    assert server.features == HubServer.DEFAULT_FEATURES == DEFAULT_FEATURES
    assert len(server.features) == 23
    for name in ("api", "reloader", "dataupload", "websocket", "autohub"):
        assert getattr(server, f"{name}_config") == getattr(HubServer, f"DEFAULT_{name.upper()}_CONFIG")
    assert (server.managers, server.commands, server.extra_commands, server.shell) == (None, None, None, None)
    assert (server.api_endpoints, server.readonly_api_endpoints, server.hook_files) == ({}, None, None)
    assert (server.routes, server.readonly_routes, server.ws_urls, server.ws_listeners) == ([], [], [], [])
    assert server.configured is False


def test_core_c02_defaults_are_not_shared(make: Make) -> None:
    server = make()
    server.features.append("mine")
    server.reloader_config["folders"] = ["x"]
    assert "mine" not in HubServer.DEFAULT_FEATURES
    assert make().reloader_config == HubServer.DEFAULT_RELOADER_CONFIG != server.reloader_config


def test_core_c03_job_is_mandatory(make: Make) -> None:
    with pytest.raises(AssertionError, match="'job' feature is mandatory"):
        make(["config"]).configure()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (["job", "source"], "'source' feature requires 'dump' and 'upload'"),
        (["job", "dump", "source"], "'source' feature requires 'upload'"),
    ],
)
def test_core_c04_source_requires(make: Make, features: list[str], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        make(features).configure()


def test_core_c05_dataplugin_requires_source(make: Make) -> None:
    with pytest.raises(FeatureError, match="'dataplugin' feature requires 'source'"):
        make(["job", "dump", "upload", "dataplugin"]).configure()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (["job", "snapshot"], "'snapshot' feature requires 'index'"),
        (["job", "api"], "'api' feature requires 'index'"),
        (["job", "index", "diff", "release"], "'release' feature requires 'snapshot'"),
        (["job", "auto_snapshot_cleaner"], "'auto_snapshot_cleaner' feature requires 'snapshot'"),
        (["job", "inspect"], "'inspect' feature requires 'upload' and 'build'"),
        (["job", "upload", "inspect"], "'inspect' feature requires 'build'"),
    ],
)
def test_core_c06_other_requirements(make: Make, features: list[str], message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        make(features).configure()


def test_core_c07_terminal_requires_ws_in_any_order(make: Make) -> None:
    with pytest.raises(FeatureError, match="'terminal' feature requires 'ws'"):
        make(["job", "terminal"]).configure()
    assert configured(make(["job", "ws", "terminal"])).configured
    assert configured(make(["job", "terminal", "ws"])).configured


def recorded(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any) -> Any:
        self.__dict__.setdefault("calls", []).append(name)
        return getattr(HubServer, name)(self, *args)

    return method


HOOKS = [name for name in vars(HubServer) if name.startswith(("configure", "before_", "ingest"))]
Recorder = type("Recorder", (HubServer,), {name: recorded(name) for name in HOOKS})
"""A hub that writes down which of its methods are called, in order."""


def test_core_c08_any_order_is_sorted(make: Make) -> None:
    server = make(["snapshot", "index", "source", "upload", "dataplugin", "job", "dump"], cls=Recorder)
    server.configure()
    managers = [call for call in server.calls if call.endswith("_manager")]  # type: ignore[attr-defined]
    place = {name: number for number, name in enumerate(managers)}
    assert place["configure_index_manager"] < place["configure_snapshot_manager"]
    assert place["configure_job_manager"] == 0
    assert place["configure_dataplugin_manager"] < place["configure_source_manager"]
    assert sorted(place.values()) == list(range(7))


def test_core_c09_an_unknown_feature_names_both_methods(make: Make) -> None:
    with pytest.raises(AttributeError) as caught:
        make(["job", "foo"]).configure()
    assert str(caught.value) == "Feature 'foo' listed but no 'configure_foo_{manager|feature}' method found"


@pytest.mark.parametrize("kind", ["manager", "feature"])
def test_core_c09_a_subclass_adds_a_feature(make: Make, kind: str) -> None:
    calls: list[bool] = []

    def method(self: HubServer) -> None:
        calls.append("job_manager" in self.managers)

    cls = type("Own", (HubServer,), {f"configure_foo_{kind}": method})
    make(["foo", "job"], cls=cls).configure()
    assert calls == [True]


def test_core_c10_without_api_there_are_no_routes(make: Make) -> None:
    server = configured(make(["job", "config"], api_config=False))
    assert server.api_endpoints == {}
    with pytest.raises(FeatureError, match="'readonly' feature cannot be had: api_config is False"):
        make(["job", "readonly"], api_config=False).configure()
    by_default = configured(make(api_config=False))
    assert "readonly" not in by_default.features
    assert by_default.disabled["readonly"] == "api_config is False, and it serves the API"


def test_core_c11_falsy_arguments_are_kept_and_nothing_is_changed(make: Make) -> None:
    arguments = {"job": {"num_workers": 0, "max_memory_usage": None, "extra": False}}
    server = make(["job"], managers_custom_args=arguments)
    mixed = server.mixargs("job", {"num_workers": 4, "max_memory_usage": 9, "kept": 1})
    assert mixed == {"num_workers": 0, "max_memory_usage": None, "extra": False, "kept": 1}
    assert arguments == {"job": {"num_workers": 0, "max_memory_usage": None, "extra": False}}
    with pytest.raises(ValueError, match=r"\['num_workers'\] is 0; it takes a whole number from 1 on"):
        server.configure()


def test_core_c11_an_unknown_argument_is_the_managers_error(make: Make) -> None:
    with pytest.raises(TypeError, match="nope"):
        make(["job"], managers_custom_args={"job": {"nope": 1}}).configure()


def test_core_c12_the_poll_uses_its_schedule(make: Make) -> None:
    features = ["job", "dump", "upload", "source"]
    arguments = {"upload": {"poll_schedule": "*/5 * * * *"}}
    server = make(features, managers_custom_args=arguments)
    server.run_in_thread()
    assert "Schedules.upload_pending [*/5 * * * *] {run " in server.actions.sch()
    assert arguments == {"upload": {"poll_schedule": "*/5 * * * *"}}
    assert configured(make(["job", "diff"], managers_custom_args={"diff": {"poll_schedule": "* * * * *"}})).configured


def test_core_c12_the_default_poll_is_every_ten_seconds(make: Make) -> None:
    server = make(["job", "dump", "upload", "source"])
    server.run_in_thread()
    assert "upload_pending [* * * * * */10] {run " in server.actions.sch()


def test_core_c13_endpoints_are_added_before_configure(make: Make) -> None:
    server = make(["job", "config"])
    server.add_api_endpoint("numbers", "status", "get", suffix="all")
    server.configure()
    assert [(d.name, d.method, d.suffix) for d in server.api_endpoints["numbers"]] == [("status", "get", "all")]
    with pytest.raises(HubError, match="API endpoint creation must be done before Hub is configured"):
        server.add_api_endpoint("more", "status", "get")


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        (("x", "statsu", "get"), "no command 'statsu'; did you mean 'status'"),
        (("x", "status", "got"), "no HTTP method"),
        (("jobs", "status", "get"), "'jobs': the hub itself has this path"),
        (("/call/x", "status", "get"), "the hub itself has this path"),
    ],
)
def test_core_c13_a_wrong_endpoint_is_explained(make: Make, endpoint: tuple[str, str, str], message: str) -> None:
    server = make(["job"])
    with pytest.raises(ValueError, match=message):
        server.add_api_endpoint(*endpoint)
        server.configure()


def test_core_c14_a_command_is_defined_once() -> None:
    commands = HubCommands()
    commands["a"] = print
    with pytest.raises(ValueError, match="Command 'a' already defined"):
        commands["a"] = print


def test_core_c15_endpoints_follow_the_features(make: Make) -> None:
    server = configured(make(["job", "config"]))
    ends = {"stop", "restart"} & {*server.commands, *server.extra_commands}
    assert set(server.api_endpoints) == {"command", "commands", "config", "job_manager", "status"} | ends


@pytest.mark.parametrize(
    ("argument", "feature"),
    [
        ("reloader_config", "reloader"),
        ("dataupload_config", "dataupload"),
        ("websocket_config", "ws"),
        ("autohub_config", "autohub"),
    ],
)
def test_false_switches_a_feature_off(make: Make, argument: str, feature: str) -> None:
    server = configured(make(**{argument: False}))
    assert feature not in server.features
    assert server.disabled[feature] == f"{argument} is False"
    assert feature not in server.unavailable
    assert server.actions.status()["hub"]["disabled"] == server.disabled
    if feature == "ws":
        assert {"terminal", "dataupload"} <= set(server.disabled)


def test_what_needs_a_switched_off_feature_is_an_error_if_asked_for(make: Make) -> None:
    with pytest.raises(FeatureError, match="'terminal' feature cannot be had: websocket_config is False"):
        make(["job", "ws", "terminal"], websocket_config=False).configure()


@pytest.mark.parametrize("argument", ["api", "reloader", "dataupload", "websocket", "autohub"])
def test_none_is_the_default_and_a_dict_is_kept(make: Make, argument: str) -> None:
    default = getattr(HubServer, f"DEFAULT_{argument.upper()}_CONFIG")
    assert getattr(make(**{f"{argument}_config": None}), f"{argument}_config") == default
    assert getattr(make(**{f"{argument}_config": {}}), f"{argument}_config") == {}


def test_hooks_are_called_once_in_the_documented_order(make: Make) -> None:
    server = make(["config", "hooks", "job"], cls=Recorder)
    server.run_in_thread()
    assert server.calls == [  # type: ignore[attr-defined]
        "configure",
        "before_configure",
        "configure_ioloop",
        "configure_managers",
        "configure_job_manager",
        "configure_remaining_features",
        "configure_config_feature",
        "configure_hooks_feature",
        "configure_commands",
        "configure_extra_commands",
        "ingest_hooks",
        "configure_api_endpoints",
        "before_start",
    ]


def test_configure_twice_is_an_error(make: Make) -> None:
    server = configured(make(["job"]))
    with pytest.raises(HubError, match="configured already"):
        server.configure()
    with pytest.raises(HubError, match="Managers have already been configured"):
        server.configure_managers()


def test_before_configure_may_change_the_features(make: Make) -> None:
    class Smaller(HubServer):
        def before_configure(self) -> None:
            self.features = ["job", "config", "config"]

    assert configured(make(cls=Smaller)).features == ["job", "config"]


def test_a_subclass_adds_and_replaces_commands(make: Make) -> None:
    class Own(HubServer):
        def configure_commands(self) -> None:
            super().configure_commands()
            self.commands["hello"] = lambda name="you": f"hello {name}"

    server = configured(make(["job"], cls=Own))
    assert server.launch("hello", "there") == "hello there"


def test_a_name_in_both_sets_is_an_error(make: Make) -> None:
    class Twice(HubServer):
        def configure_extra_commands(self) -> None:
            super().configure_extra_commands()
            self.extra_commands["status"] = lambda: None

    with pytest.raises(HubError, match="Command defined multiple time: status"):
        make(["job"], cls=Twice).configure()


def test_readonly_endpoints_only_read(make: Make) -> None:
    server = configured(make())
    assert server.readonly_api_endpoints is not None
    methods = {d.method for definitions in server.readonly_api_endpoints.values() for d in definitions}
    assert methods == {"get"}
    assert {"status", "sources", "source"} <= set(server.readonly_api_endpoints)
    assert "buildconf" not in server.readonly_api_endpoints
