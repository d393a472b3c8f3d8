"""``%hub`` and ``%%hub``, the completion of commands and their arguments, and ``hub`` in the user's namespace."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class

from hubkernel import client, display, live
from hubkernel.api import HubAPI, HubClosedError, JobFailedError, JobHandle
from hubkernel.completion import Candidates
from hubkernel.facade import Hub
from hubkernel.hub.commands import CommandError
from hubkernel.hub.syntax import Call, CommandSyntaxError, command_lines, parse_chain
from hubkernel.owner import OwnerError

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from hubkernel.widgets import Dashboard, JobBar

NO_WAIT = "--no-wait"
EXEC = "exec"
PLUGIN = "plugin"


class HubCodeError(RuntimeError):
    """Code that ran in the hub failed; the text is its traceback there."""

    def _render_traceback_(self) -> list[str]:
        """IPython shows this instead of the way to the hub and back."""
        return str(self).splitlines()


@magics_class
class HubMagics(Magics):  # type: ignore[misc]
    """See :meth:`hub`."""

    def __init__(self, shell: InteractiveShell, hub: Hub, shower: live.Shower) -> None:
        super().__init__(shell)
        self._hub = hub
        self._shower = shower

    @line_cell_magic  # type: ignore[untyped-decorator]
    def hub(self, line: str, cell: str | None = None) -> Any:
        """Run commands of the hub.

        Usage::

            %hub                              what the hub has
            %hub COMMAND [ARGUMENT ...]       run a command
            %hub --no-wait COMMAND ...        start it and go on
            %hub help                         list the commands
            %hub help dump                    explain one

        A command is written as words, ``%hub dump hpo_terms force=True``, or as a call,
        ``%hub dump("hpo_terms", force=True)``. Arguments are Python literals; a bare word is text. ``$name`` and
        ``{expression}`` are replaced by Python values first (write ``{{`` for a brace). ``&&`` joins commands into one
        job; each runs only if the one before it succeeded, and its result is the list of theirs.

        A long command is a job. ``%hub`` waits for it, shows its progress and returns it::

            src = "hpo_terms"
            job = %hub dump $src
            job.result()

        Interrupting the kernel stops the waiting, not the job; interrupting again within two seconds cancels the job.

        ``%%hub`` runs one command a line and stops at the first that fails; ``#`` begins a comment::

            %%hub
            # everything about one source
            dump hpo_terms
            upload hpo_terms

        ``%%hub exec`` runs the cell as Python in the hub's own process, with its managers (``jm``, ``dm``, ``um``, ...)
        as names, and shows what it prints; for developers::

            %%hub exec
            jm.job_info()

        ``%%hub plugin NAME`` makes a plugin of the cell: its manifest in YAML, a line ``---``, and its parser. It is
        checked, loaded, and tried on the release that was dumped last, or on the files in a folder; the first documents
        are shown. Options: ``--data FOLDER``, ``--limit N`` (10), ``--overwrite`` (also of what no cell has written)::

            %%hub plugin planets
            dumper:
              data_url: https://data.example.org/planets.csv
            ---
            import csv

            def load_data(folder):
                for row in csv.DictReader(open(folder + "/planets.csv")):
                    yield {"_id": row["name"], **row}

        The same commands are attributes of ``hub``: ``hub.dump("hpo_terms")``, which does not wait.
        """
        if cell is not None:
            return self._cell(line, cell)
        wait, text = _split_options(line)
        if not text:
            return self._run("status", wait=wait)
        return self._run(text, wait=wait)

    def _cell(self, line: str, cell: str) -> None:
        if line.strip() == EXEC:
            self._exec(cell)
            return
        if line.split()[:1] == [PLUGIN]:
            self._plugin(line, cell)
            return
        wait, rest = _split_options(line)
        if rest:
            raise UsageError(
                f"%%hub takes {NO_WAIT}, {EXEC} or {PLUGIN} only; write the commands into the cell, one a line"
            )
        from IPython.display import display as show

        for text in command_lines(cell):
            value = self._run(str(self.shell.var_expand(text, depth=1)), wait=wait)
            if wait and isinstance(value, JobHandle):
                self._shower.note(value)
            elif value is not None:
                show(value)

    def _exec(self, code: str) -> None:
        try:
            found = self._hub.call("run_code", code)
        except CommandError as error:
            raise UsageError(str(error)) from None
        print(found["output"], end="")  # noqa: T201 - what the code printed there, it prints here
        if found["error"] is not None:
            raise HubCodeError(found["error"])
        if found["value"] is not None:
            print(found["value"])  # noqa: T201 - an object of another process is seen as its repr

    def _plugin(self, line: str, cell: str) -> None:
        from hubkernel.cell import CellOptionsError, cell_options, lines_of, preview_bundles

        try:
            job = self._hub.call("plugin_cell", **cell_options(line), cell=cell)
            found = live.wait(job, live.Silent()).result()  # it is short, and its text is the whole cell
        except (CommandError, CellOptionsError) as error:
            raise UsageError(str(error)) from None
        except JobFailedError as error:
            raise UsageError(lines_of(error.record.error or str(error))) from None
        for bundle in preview_bundles(found):
            self.shell.display_pub.publish(bundle)

    def _run(self, text: str, *, wait: bool) -> Any:
        value: Any = None
        try:
            calls = parse_chain(text)
            if len(calls) > 1:  # one job of the hub, which checks all of it before it begins
                calls = [Call("run", (text,))]
            for name, args, kwargs in calls:
                value = self._hub.call(name, *args, **kwargs)
                if wait and isinstance(value, JobHandle):
                    self._shower.wait(value)
        except (CommandError, CommandSyntaxError) as error:
            raise UsageError(str(error)) from None
        return value


def _split_options(line: str) -> tuple[bool, str]:
    """Whether to wait, and what is left of the line."""
    words = line.strip()
    if not words.startswith("-"):
        return True, words
    option, _, rest = words.partition(" ")
    if option != NO_WAIT:
        raise UsageError(f"unknown option {option}; there is {NO_WAIT} (see %hub?)")
    return False, rest.strip()


# --------------------------------------------------------------------------------------------------------- completion

_MAGIC = re.compile(r"^\s*%{1,2}hub\s+(?:--no-wait\s+)?(.*)$", re.S)
_CALL = re.compile(r"(?:\bhub\.|(?<![\w.]))([A-Za-z_]\w*)\(([^()]*)$")


def make_matcher(candidates: Candidates, bare_calls: Callable[[str], bool]) -> Any:
    """A matcher for IPython's completer. ``bare_calls(name)`` tells whether ``name(`` is a command without ``hub.``."""

    @context_matcher(identifier="hubkernel", priority=150)  # type: ignore[untyped-decorator]
    def hub_matcher(context: CompletionContext) -> SimpleMatcherResult:
        found = _candidates(candidates, context, bare_calls)
        matching = [SimpleCompletion(text, type=kind) for text, kind in found if text.startswith(context.token)]
        return {"completions": matching, "suppress": bool(matching), "matched_fragment": context.token}

    return hub_matcher


def _candidates(
    candidates: Candidates, context: CompletionContext, bare_calls: Callable[[str], bool]
) -> Sequence[tuple[str, str]]:
    line = context.text_until_cursor
    in_cell = context.full_text.lstrip().startswith("%%hub") and context.cursor_line > 0
    try:
        if in_cell:
            return candidates.magic(line)
        if match := _MAGIC.match(line):
            return candidates.magic(match.group(1))
        call = _CALL.search(line)
        if call and (call.group(0).startswith("hub.") or bare_calls(call.group(1))):
            return candidates.arguments(call.group(1), call.group(2))
    except (HubClosedError, OwnerError):
        return []  # completing is no place for an error; running the line says it
    return []


# ------------------------------------------------------------------------------------------------------ load and unload


class NotebookHub(Hub):
    """``hub`` in a notebook: with widgets."""

    def dashboard(self, limit: int = 20) -> Dashboard:
        """The latest jobs as a widget that keeps itself up to date and can cancel them."""
        from hubkernel.widgets import Dashboard

        return Dashboard(self.api, limit)

    def bar(self, job: JobHandle | int) -> JobBar:
        """One job as a widget."""
        from hubkernel.widgets import JobBar

        return JobBar(self.job(job) if isinstance(job, int) else job)


ALREADY_MEANT = frozenset({*dir(builtins), "exit", "quit", "get_ipython", "In", "Out", "hub"})
"""Names that no command takes: ``list`` stays Python's, the hub's is ``hub.list``."""


class Extension:
    """What one shell was given; kept on the shell so that loading twice is harmless and unloading finds it."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        caller = getattr(shell, "hubkernel_caller", None)
        self.hub = NotebookHub(lambda: _connect(caller))
        self.shower = live.Shower(shell)
        self.commands: dict[str, Any] = {}
        """What :meth:`put` has put into the namespace."""
        self.matcher = make_matcher(Candidates(lambda: self.hub.api), lambda name: name in self.commands)

    def load(self) -> None:
        display.register(self.shell)
        self.shower.register()
        self.shell.register_magics(HubMagics(self.shell, self.hub, self.shower))
        self.shell.Completer.custom_matchers.append(self.matcher)
        self.shell.push({"hub": self.hub}, interactive=False)

    def put(self, commands: dict[str, Any]) -> None:
        """Commands into the namespace, except over what means something already or what the user has defined."""
        names = self.shell.user_ns
        free = {
            name: command
            for name, command in commands.items()
            if name not in ALREADY_MEANT and (name not in names or names[name] is self.commands.get(name))
        }
        self.shell.push(free, interactive=False)
        self.commands.update(free)

    def unload(self) -> None:
        display.unregister(self.shell)
        self.shower.unregister()
        for kind in ("line", "cell"):
            self.shell.magics_manager.magics[kind].pop("hub", None)
        self.shell.Completer.custom_matchers.remove(self.matcher)
        self.shell.drop_by_id({"hub": self.hub})
        client.disconnect()


def _connect(caller: dict[str, Any] | None) -> HubAPI:
    """The hub; for the ``caller`` (of :meth:`HubAPI.as_`) whom a shell that serves another user was given."""
    if caller is None:
        return client.connect(door="notebook")
    return client.connect(door=caller["door"]).as_(**caller)


def load(shell: InteractiveShell) -> Extension:
    """``%load_ext hubkernel``: ``hub``, ``%hub``, ``%%hub``, completion, displays. The hub opens at its first use."""
    extension = getattr(shell, "hubkernel_extension", None)
    if extension is None:
        extension = shell.hubkernel_extension = Extension(shell)
        extension.load()
    found: Extension = extension
    return found


def unload(shell: InteractiveShell) -> None:
    """``%unload_ext hubkernel``: take all of it back and close the hub of this process."""
    extension = getattr(shell, "hubkernel_extension", None)
    if extension is not None:
        extension.unload()
        del shell.hubkernel_extension
