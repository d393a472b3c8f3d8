"""The hub itself: features become managers, managers become commands, and a loop of its own runs them."""

from __future__ import annotations

import asyncio
import copy
import functools
import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hubkernel.hub import features as rules
from hubkernel.hub import managers as make
from hubkernel.hub import tables
from hubkernel.hub.access import AccessActions
from hubkernel.hub.actions import HubActions
from hubkernel.hub.commands import HiddenCommands, HubCommands
from hubkernel.hub.config import HubConfig
from hubkernel.hub.dispatch import Dispatcher
from hubkernel.hub.endpoints import EndpointDefinition, Endpoints, check_endpoints, endpoints_of, read_only
from hubkernel.hub.events import EventBus
from hubkernel.hub.home import HubHome
from hubkernel.hub.hooks import Hooks, hook_files
from hubkernel.hub.known import KnownNames
from hubkernel.hub.launching import HUB, Launcher, calling, launch
from hubkernel.hub.logs import Alerts
from hubkernel.hub.loop import LoopThread, inside_a_loop
from hubkernel.hub.notify import Notifier
from hubkernel.hub.quick import quick_index
from hubkernel.hub.reference import write_command_documents
from hubkernel.hub.reloader import Reloader
from hubkernel.hub.schedules import Schedules
from hubkernel.hub.services import Services
from hubkernel.hub.upgrades import Upgrades
from hubkernel.store import StateStore, open_state

if TYPE_CHECKING:
    from hubkernel.jobs.manager import JobManager
    from hubkernel.pipeline.context import PipelineContext
    from hubkernel.pipeline.plugins import PluginManager

GRACE = 0.2
"""Seconds between the answer to ``stop`` and the end, in which the doors deliver it."""

SourceList = Iterable[str | ModuleType] | str | ModuleType


class HubError(RuntimeError):
    """The hub is asked for something in the wrong order."""


class HubServer:
    """A hub of data sources, made of features.

    ``source_list`` is a list of dotted module paths, or a package whose sub-folders are sources. ``features`` (default:
    all) may stand in any order; each is started after those that it needs. ``managers_custom_args`` has arguments for
    single managers: ``{"upload": {"poll_schedule": "*/5 * * * *"}}``. Each ``*_config`` is None for the default and
    False to switch its feature off.

    Subclasses override :meth:`before_configure`, :meth:`before_start`, any ``configure_*`` method, and add features of
    their own by a method ``configure_<feature>_manager`` or ``configure_<feature>_feature``. The order of the calls is
    in docs/developers/hub.md.

    Threading: the hub's loop runs in a thread of its own from :meth:`configure` to :meth:`shutdown`. All public methods
    may be called from any other thread.
    """

    DEFAULT_FEATURES = list(rules.DEFAULT_FEATURES)
    DEFAULT_MANAGERS_ARGS: dict[str, dict[str, Any]] = {"upload": {"poll_schedule": "* * * * * */10"}}
    DEFAULT_API_CONFIG: dict[str, Any] = {}
    DEFAULT_RELOADER_CONFIG: dict[str, Any] = {
        "folders": None,
        "managers": ["source_manager", "assistant_manager"],
        "reload_func": None,
    }
    DEFAULT_DATAUPLOAD_CONFIG: dict[str, Any] = {"upload_root": "dataupload"}
    """A relative ``upload_root`` is below the hub home."""
    DEFAULT_WEBSOCKET_CONFIG: dict[str, Any] = {}
    DEFAULT_AUTOHUB_CONFIG: dict[str, Any] = {"es_host": None, "indexer_factory": None, "version_urls": []}

    def __init__(  # noqa: PLR0917 - the signature is given
        self,
        source_list: SourceList,
        features: list[str] | None = None,
        name: str = "BioThings Hub",
        managers_custom_args: dict[str, dict[str, Any]] | None = None,
        api_config: Any = None,
        reloader_config: Any = None,
        dataupload_config: Any = None,
        websocket_config: Any = None,
        autohub_config: Any = None,
    ) -> None:
        self.source_list = source_list
        self.name = name
        self.features = self.clean_features(self.DEFAULT_FEATURES if features is None else features)
        self.managers_custom_args = managers_custom_args or {}
        self.api_config = _or_default(api_config, self.DEFAULT_API_CONFIG)
        self.reloader_config = _or_default(reloader_config, self.DEFAULT_RELOADER_CONFIG)
        self.dataupload_config = _or_default(dataupload_config, self.DEFAULT_DATAUPLOAD_CONFIG)
        self.websocket_config = _or_default(websocket_config, self.DEFAULT_WEBSOCKET_CONFIG)
        self.autohub_config = _or_default(autohub_config, self.DEFAULT_AUTOHUB_CONFIG)
        self.home = HubHome.find()
        self.logger = logging.getLogger("hubkernel.hub")
        self.actions = HubActions(self)
        self.access = AccessActions(self)
        self.known = KnownNames(self)
        self.launcher = Launcher(self)
        self.unavailable: dict[str, str] = {}
        """Listed features that cannot be had yet, with the reason."""
        self.disabled: dict[str, str] = {}
        """Features that a ``*_config`` of False switched off, with the reason."""
        self.api_endpoints: Endpoints = {}
        self.readonly_api_endpoints: Endpoints | None = None
        self.routes: list[Any] = []
        self.readonly_routes: list[Any] = []
        self.ws_urls: list[Any] = []
        self.ws_listeners: list[Any] = []
        self.hook_files: list[Path] | None = None
        self.hooks = Hooks(self)
        self.alerts = Alerts(self)
        self.reloader: Reloader | None = None
        self.upgrades: Upgrades | None = None
        self.services = Services(self)
        self.namespace: dict[str, Any] = {}
        """What hooks and developers' consoles see: commands, managers, and what hooks defined."""
        self.schedules = Schedules(self)
        self.poll_schedules: dict[str, str | None] = {}
        """By stage: when it looks for what the one before it left."""
        self.configured = False
        self.shell: Any = None
        # The next three are None until configure(), as in every hub of this kind.
        self.managers: dict[str, Any] = None  # type: ignore[assignment]
        self.commands: HubCommands = None  # type: ignore[assignment]
        self.extra_commands: HubCommands = None  # type: ignore[assignment]
        self._by_default = features is None
        self._named_by_config = False
        self._loop_thread: LoopThread | None = None
        self._started = False
        self._ended = threading.Event()
        self.on_end: Callable[[bool], object] | None = None
        """Set by the process that owns the hub: called with whether a restart is wanted, in a thread of its own, when
        a command asks for the end. Without it the hub shuts itself down, and cannot restart."""

    @classmethod
    def open(cls, home: HubHome, **arguments: Any) -> HubServer:
        """The default hub of a home: the plugins in its folder are the sources. Not configured yet."""
        server = cls(**{"source_list": [], **arguments})
        server.home = home
        server._named_by_config = "name" not in arguments
        return server

    # What the hub is made of, opened by the first use.

    @functools.cached_property
    def config(self) -> HubConfig:
        """The settings of the home; raises :class:`~hubkernel.hub.config.ConfigError`."""
        return HubConfig.load(self.home)

    @functools.cached_property
    def bus(self) -> EventBus:
        return EventBus(self.config.events_kept)

    @functools.cached_property
    def state(self) -> StateStore:
        self.home.create()
        state = open_state(self.config.state_url or self.home.state_url)
        self.config = HubConfig.load(self.home, state=state)
        if self._named_by_config:
            self.name = self.config.hub_name
        self.bus.watch(state)
        return state

    @functools.cached_property
    def context(self) -> PipelineContext:
        return make.make_context(self, self.jobs)

    @functools.cached_property
    def plugins(self) -> PluginManager:
        return make.make_plugin_manager(self)

    @functools.cached_property
    def notifier(self) -> Notifier:
        return Notifier(self)

    @functools.cached_property
    def dispatcher(self) -> Dispatcher:
        return Dispatcher(self.bus)

    @property
    def jobs(self) -> JobManager:
        manager: JobManager = (self.managers or {})["job_manager"]
        return manager

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The hub's loop; there from :meth:`configure` on."""
        if self._loop_thread is None:
            raise HubError("the hub has no loop before configure() and after shutdown()")
        return self._loop_thread.loop

    @property
    def log_folder(self) -> Path:
        """Where all logs are: ``hub.log``, ``jobs/``, ``dataload/``, ..."""
        return self.config.log_folder or self.home.logs

    @property
    def on_loop(self) -> bool:
        """Whether the caller is in the loop's thread, where nothing may be waited for."""
        return self._loop_thread is not None and self._loop_thread.inside

    @property
    def upload_root(self) -> Path | None:
        """Where uploaded files go; None if ``dataupload`` is off."""
        if self.dataupload_config is False:
            return None
        if self.config.upload_folder is not None and self.dataupload_config == self.DEFAULT_DATAUPLOAD_CONFIG:
            return self.config.upload_folder
        return self.home.root / Path(self.dataupload_config["upload_root"]).expanduser()

    # Configuration, in the order of the calls.

    def configure(self) -> None:
        """Make managers, commands and endpoints. Called by :meth:`start` if it was not called before."""
        if self.configured:
            raise HubError("the hub is configured already")
        try:
            self._configure()
        except BaseException:
            self.shutdown()
            raise

    def _configure(self) -> None:
        self.before_configure()
        self.features = self.clean_features(self.features)
        self._switch_off()
        self.remaining_features = copy.copy(self.features)
        self.configure_ioloop()
        self.configure_managers()
        self.configure_remaining_features()
        self.configure_commands()
        self.configure_extra_commands()
        self._check_names()
        self.ingest_hooks()
        if self.api_config is not False:
            self.configure_api_endpoints()
        if "readonly" in self.features:
            self.configure_readonly_api_endpoints()
        self.configured = True
        self.hooks.call("hub_configured")

    def before_configure(self) -> None:
        """For subclasses: called once, before anything is configured. The place to change :attr:`features`."""

    def before_start(self) -> None:
        """For subclasses: called once, when all is configured and repaired, before schedules and consoles start."""

    def clean_features(self, features: Iterable[str]) -> list[str]:
        """``features`` without duplicates."""
        return rules.clean(features)

    def _switch_off(self) -> None:
        configs = {
            "api": self.api_config,
            "reloader": self.reloader_config,
            "dataupload": self.dataupload_config,
            "ws": self.websocket_config,
            "autohub": self.autohub_config,
        }
        self.disabled = rules.switch_off(self.features, configs, asked_for=not self._by_default)

    def configure_ioloop(self) -> None:
        """Start the hub's own loop in its own thread."""
        if self._loop_thread is None:
            self._loop_thread = LoopThread(f"hub {self.name}")

    def configure_managers(self) -> None:
        """Check the features and make their managers, each after those that it needs."""
        if self.managers:
            raise HubError("Managers have already been configured")
        rules.check(self.features)
        methods = [self._configure_method(feature) for feature in rules.ordered(self.features)]
        self.managers = {}
        for method in methods:
            if method is not None:
                method()

    def _configure_method(self, feature: str) -> Callable[[], None] | None:
        """The ``configure_<feature>_manager`` method, or None if the feature has a ``_feature`` method instead."""
        manager: Callable[[], None] | None = getattr(self, f"configure_{feature}_manager", None)
        if manager is not None:
            self.remaining_features.remove(feature)
        elif not hasattr(self, f"configure_{feature}_feature"):
            raise AttributeError(
                f"Feature '{feature}' listed but no 'configure_{feature}_{{manager|feature}}' method found"
            )
        return manager

    def mixargs(self, feat: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Arguments of a manager: ``params``, over them the class's defaults, over them ``managers_custom_args``."""
        custom = self.managers_custom_args.get(feat) or {}
        return {**(params or {}), **self.DEFAULT_MANAGERS_ARGS.get(feat, {}), **custom}

    def configure_job_manager(self) -> None:
        self.managers["job_manager"] = make.make_job_manager(self)

    def configure_dump_manager(self) -> None:
        self.managers["dump_manager"] = manager = make.make_dump_manager(self)
        manager.scheduler = self.schedules.schedule_dump

    def configure_upload_manager(self) -> None:
        self.managers["upload_manager"] = make.make_upload_manager(self)

    def configure_dataplugin_manager(self) -> None:
        """Load the plugins of the home and of the plugin folders."""
        self.managers["dataplugin_manager"] = self.plugins
        self.plugins.load_all()

    def configure_source_manager(self) -> None:
        """Load the sources of ``source_list``; one that cannot be loaded is shown as broken, with its reason."""
        self.plugins.load_sources(self.source_list or self.config.active_datasources)
        self.managers["source_manager"] = make.make_source_manager(self)

    def configure_build_manager(self) -> None:
        self.managers["build_manager"] = make.make_build_manager(self)

    def configure_index_manager(self) -> None:
        self.managers["index_manager"] = make.make_index_manager(self)

    def configure_auto_archive_manager(self) -> None:
        self._owe("auto_archive")

    def configure_diff_manager(self) -> None:
        self._owe("diff")

    def configure_snapshot_manager(self) -> None:
        self._owe("snapshot")

    def configure_auto_snapshot_cleaner_manager(self) -> None:
        self._owe("auto_snapshot_cleaner")

    def configure_release_manager(self) -> None:
        self._owe("release")

    def configure_inspect_manager(self) -> None:
        self._owe("inspect")

    def configure_sync_manager(self) -> None:
        self._owe("sync")

    def configure_api_manager(self) -> None:
        self._owe("api")

    def configure_remaining_features(self) -> None:
        """Call ``configure_<feature>_feature`` of the features that are no managers."""
        if self.config.studio_port is not None and "studio" not in self.features:
            self.features.append("studio")
            self.remaining_features.append("studio")
        for feature in rules.ordered(self.remaining_features):
            getattr(self, f"configure_{feature}_feature")()

    def configure_config_feature(self) -> None:
        """Nothing to make: the settings are there, and the feature shows their commands."""

    def configure_terminal_feature(self) -> None:
        """Nothing to make: a web server that serves this hub has the terminal."""

    def configure_reloader_feature(self) -> None:
        """Make the reloader; it begins to watch when the hub starts."""
        self.reloader = Reloader(self, {**self.DEFAULT_RELOADER_CONFIG, **self.reloader_config})

    def reload_plugins(self, changed: Iterable[Path] = ()) -> dict[str, str]:
        """Load all plugins again, since these files were changed; returns the broken ones with their reasons."""
        self.plugins.load_all()
        broken = dict(self.plugins.broken)
        self.bus.publish(
            "data_plugin", None, "reloaded", {"changed": [str(file) for file in changed], "broken": broken}
        )
        return broken

    def configure_dataupload_feature(self) -> None:
        """Nothing to make: a web server that serves this hub takes files into :attr:`upload_root`."""

    def configure_ws_feature(self) -> None:
        self.ws_urls = self.get_websocket_urls()

    def configure_readonly_feature(self) -> None:
        """The endpoints are derived later (:meth:`configure_readonly_api_endpoints`)."""

    def configure_upgrade_feature(self) -> None:
        """Find out which versions run, and what of it can be upgraded."""
        self.upgrades = Upgrades(self)

    def configure_autohub_feature(self) -> None:
        self._owe("autohub")

    def configure_studio_feature(self) -> None:
        """Nothing to make: it is served once the hub starts, if there is a port for it."""
        if self.config.studio_port is None:
            self.unavailable["studio"] = "the setting studio_port has no value"

    def configure_hooks_feature(self) -> None:
        """Find the hook files; they run later, when all commands exist (:meth:`ingest_hooks`)."""
        self.hook_files = hook_files(self.config.hooks_folder or self.home.hooks)

    def _owe(self, feature: str) -> None:
        reason = rules.FEATURES[feature].owed
        if feature not in self.unavailable:
            self.logger.info("feature %s: %s", feature, reason)
        self.unavailable[feature] = reason

    def get_websocket_urls(self) -> list[Any]:
        """Routes of websockets besides ``events``, which every web server that serves this hub has."""
        return self.ws_urls

    def configure_commands(self) -> None:
        """Make the public commands of the managers there are. A subclass that overrides this calls ``super()`` and then
        adds to ``self.commands``.
        """
        self.commands = HubCommands()
        tables.fill(self.commands, tables.PUBLIC, self)

    def configure_extra_commands(self) -> None:
        """Make the hidden commands: shortcuts, and what doors and endpoints need."""
        self.extra_commands = HiddenCommands()
        tables.fill(self.extra_commands, tables.HIDDEN, self)

    def _check_names(self) -> None:
        twice = self.commands.keys() & self.extra_commands.keys()
        if twice:
            raise HubError(f"Command defined multiple time: {', '.join(sorted(twice))}")

    def ingest_hooks(self) -> None:
        """Run the hook files with all commands as their names. An error in one is logged and stops no other."""
        if self.hook_files is not None:
            self.hooks.load_packages()
        self.namespace = self.hooks.namespace(self._named_managers())
        with calling(*HUB):
            for file in self.hook_files or ():
                self.process_hook_file(str(file))

    def process_hook_file(self, hook_file: str) -> None:
        """Run one hook file in the hub's namespace; its functions become commands and hooks."""
        self.hooks.run_file(Path(hook_file))

    @property
    def hook_errors(self) -> list[str]:
        """What went wrong in hooks and hook files, one line each."""
        return self.hooks.errors

    def _named_managers(self) -> dict[str, Any]:
        return {short: self.managers[key] for short, key in tables.SHORTCUTS.items() if key in self.managers}

    def add_api_endpoint(self, endpoint_name: str, command_name: str, method: str, **kwargs: Any) -> None:
        """Offer a command over REST, below ``/endpoint_name``; ``kwargs`` are fields of :class:`EndpointDefinition`.

        Raises :class:`HubError` once the hub is configured.
        """
        if self.configured:
            raise HubError("API endpoint creation must be done before Hub is configured")
        definition = EndpointDefinition(command_name, method, **kwargs)
        self.api_endpoints.setdefault(endpoint_name, []).append(definition)

    def configure_api_endpoints(self) -> None:
        """The table of the REST API: the endpoints of all commands, and those that were added."""
        added, self.api_endpoints = self.api_endpoints, {}
        names = [*self.commands, *self.extra_commands]
        for table in (endpoints_of(names), added):
            for endpoint, definitions in table.items():
                self.api_endpoints.setdefault(endpoint, []).extend(definitions)
        check_endpoints(self.api_endpoints, names)

    def configure_readonly_api_endpoints(self) -> None:
        """Keep of the API's endpoints those that only read (GET). Raises :class:`HubError` if there are none yet."""
        if not self.api_endpoints:
            raise HubError("the API endpoints must be configured before the read-only ones")
        self.readonly_api_endpoints = read_only(self.api_endpoints)

    # Life.

    def start(self) -> None:
        """Run the hub. In a script this returns when the hub was shut down, which Ctrl-C also does; where a loop runs
        already, as in a notebook, it returns as soon as the hub runs in its own thread.
        """
        self.run_in_thread()
        if inside_a_loop():
            return
        try:
            self._ended.wait()
        except KeyboardInterrupt:
            self.logger.info("interrupted")
        finally:
            self.shutdown()

    def run_in_thread(self) -> None:
        """Configure if need be, repair what a dead hub left behind, and start. Returns when the hub is ready."""
        if not self.configured:
            self.configure()
        if self._started:
            return
        self._started = True
        try:
            self.services.prepare()
            self.before_start()
            if self._loop_thread is not None:
                self._loop_thread.run(self.services.start())
            self.logger.info("hub %s at %s is up", self.name, self.home)
            self.hooks.call("hub_started")
            self.notifier.start()
        except BaseException:
            self.shutdown()
            raise

    def shutdown(self) -> None:
        """End everything that the hub started: schedules, jobs, consoles, stores, its loop. Safe to call twice."""
        if self._started and not self._ended.is_set():
            self.services.say_goodbye()
        self.services.close_doors(self._loop_thread)
        for key, manager in (self.managers or {}).items():
            if key == "job_manager":
                manager.close(force=True)
            elif hasattr(manager, "close"):
                manager.close()
        for name in ("dispatcher", "notifier", "context", "state"):
            if (opened := self.__dict__.pop(name, None)) is not None:
                opened.close()
        if self._loop_thread is not None:
            self._loop_thread.close()
            self._loop_thread = None
        if "bus" in self.__dict__:
            self.bus.close()
        self.services.close_log()
        self._ended.set()

    def end(self, *, restart: bool = False) -> None:
        """End the hub soon, from any thread; returns at once, so that who asked for it still gets an answer.

        Records the alert ``hub_stop`` or ``hub_restart``. Raises :class:`HubError` if nobody could start it again.
        """
        if restart and self.on_end is None:
            raise HubError("the process of this hub cannot start it again: stop it, and start it by hand")
        if restart:
            self.alerts.alert("hub_restart", "Hub is restarting")
        else:
            self.alerts.alert("hub_stop", "Hub is stopping")
        on_end = self.on_end or (lambda _: self.shutdown())
        timer = threading.Timer(GRACE, on_end, (restart,))
        timer.name = "hub-end"
        timer.start()

    # What commands need of the hub.

    def audit(self, caller: Any, text: str, outcome: str) -> None:
        """Keep in the audit log that a caller (whatever has ``user``, ``door`` and ``role``) ran or was refused a
        command. ``outcome`` begins with ``done``, ``started``, ``failed`` or ``refused``. Called by the doors' hub for
        all commands but those that only read.
        """
        role = getattr(caller.role, "name", str(caller.role))
        self.access.log.write(str(caller.user), str(caller.door), role, text, outcome)

    def launch(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Run a command by name for the hub itself (schedules, polls): the running job if it is asynchronous, else its
        value. On the hub's own loop a plain command runs in another thread, and its value has to be awaited. Raises
        :class:`~hubkernel.hub.commands.CommandError`.
        """
        return launch(self, name, args, kwargs)

    async def quick_index(
        self,
        datasource_name: str,
        doc_type: str,
        indexer_env: str,
        subsource: str | None = None,
        index_name: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Index one source as it is, so that its developer can look at it: a temporary build configuration and build
        are made, indexed, and removed.
        """
        return await quick_index(self, datasource_name, doc_type, indexer_env, subsource, index_name, **kwargs)

    def export_command_documents(self, filepath: str) -> None:
        """Write the reference of all public commands to a file, as reStructuredText."""
        write_command_documents(self.commands, Path(filepath).expanduser())


def _or_default(config: Any, default: dict[str, Any]) -> Any:
    """None is the default; False and everything else is what it is."""
    return copy.deepcopy(default) if config is None else config
