"""The command ``hubkernel``. Imports next to nothing before it knows what is asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hubkernel import __version__, plugin_cli

if TYPE_CHECKING:
    from hubkernel.api import HubAPI, JobHandle
    from hubkernel.hub.home import HubHome

FAILED = 1
USAGE = 2
BUSY = 75
"""EX_TEMPFAIL: another process owns the home."""
INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """The whole command line; docs/users/cli.md is checked against it."""
    root = argparse.ArgumentParser(
        prog="hubkernel",
        description="A data hub that lives in Jupyter: dump, upload, build, index and query JSON documents.",
        epilog="Exit status: 0 done, 1 failed, 2 wrong usage, 75 another process owns the home, 130 interrupted.",
    )
    root.add_argument("--version", action="version", version=f"hubkernel {__version__}")
    root.add_argument(
        "--home",
        metavar="FOLDER",
        help="the hub's folder (default: $HUBKERNEL_HOME, else the nearest .hubkernel/ upward, else your data folder)",
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_status(commands)
    _add_exec(commands)
    plugin_cli.add_parsers(commands)
    _add_owner(commands)
    _add_install(commands)
    return root


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="dump, upload, build, index and query the Human Phenotype Ontology")
    demo.set_defaults(run=run_demo)


def _add_status(commands: Any) -> None:
    status = commands.add_parser("status", help="what the hub has and who owns it; works while it is in use")
    status.add_argument("--json", action="store_true", help="one JSON object instead of text")
    status.set_defaults(run=run_status)


def _add_exec(commands: Any) -> None:
    execute = commands.add_parser(
        "exec",
        help="run commands of the hub and wait for them",
        description="Run commands of the hub and wait for them. Progress goes to stderr, results to stdout.",
        epilog="""For instance: hubkernel exec 'dump("hpo_terms") && upload("hpo_terms")'""",
    )
    execute.add_argument("--json", action="store_true", help="one line of JSON, for a job its whole record")
    execute.add_argument("--quiet", "-q", action="store_true", help="no progress")
    execute.add_argument("--traceback", action="store_true", help="if a job fails, also show where")
    execute.add_argument("text", nargs="+", metavar="TEXT", help="a command: as a call, or as words; && joins several")
    execute.set_defaults(run=run_exec)


def _add_owner(commands: Any) -> None:
    start = commands.add_parser("start", help="start the hub in a process of its own, if it does not run yet")
    start.add_argument("--foreground", action="store_true", help="be that process; Ctrl-C ends it")
    start.set_defaults(run=run_start)
    restart = commands.add_parser("restart", help="end the hub's process and start it again")
    restart.set_defaults(run=run_restart)
    for parser in (start, restart):
        parser.add_argument("--app", metavar="FILE", help="the hub's own script, with a subclass of HubServer")
    stop = commands.add_parser("stop", help="end the hub's process; its unfinished jobs are interrupted")
    stop.set_defaults(run=run_stop)
    url = commands.add_parser("url", help="where the hub answers, with its token")
    url.add_argument("--json", action="store_true", help="one JSON object: url, token, pid, placement")
    url.set_defaults(run=run_url)


def _add_install(commands: Any) -> None:
    install = commands.add_parser("install-kernel", help='make the kernel "Hub" known to Jupyter')
    install.add_argument("--prefix", metavar="FOLDER", help="below FOLDER/share/jupyter (default: for this user)")
    install.add_argument("--sys-prefix", action="store_true", help="into the environment of this Python")
    install.add_argument("--name", default="hub", help="the kernel's name (default: hub)")
    install.set_defaults(run=run_install)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parser().parse_args(arguments)
    from hubkernel.hub.home import HubHome
    from hubkernel.owner import HubBusyError

    home = HubHome.find(options.home)
    run: Callable[[argparse.Namespace, HubHome], int] = options.run
    try:
        return run(options, home)
    except HubBusyError as error:
        return _fail(str(error), BUSY)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return FAILED
    except (OSError, RuntimeError, LookupError, ValueError) as error:
        return _fail(str(error) or repr(error), FAILED)


def _fail(message: str, status: int) -> int:
    print(f"hubkernel: {message}", file=sys.stderr)
    return status


# --------------------------------------------------------------------------------------------------------------- exec


def run_exec(options: argparse.Namespace, home: HubHome) -> int:
    """``hubkernel exec``."""
    from hubkernel.hub.syntax import CommandSyntaxError, parse_chain

    text = " ".join(options.text)
    try:
        calls = parse_chain(text)
    except CommandSyntaxError as error:
        return _fail(str(error), USAGE)
    from hubkernel import client

    hub = client.connect(home, door="cli")
    try:
        if len(calls) == 1:
            return _exec_one(hub, options, *calls[0])
        return _exec_one(hub, options, "run", (text,), {}, parts=[call.name for call in calls])
    finally:
        client.disconnect(home)


def _exec_one(
    hub: HubAPI, options: argparse.Namespace, name: str, args: Any, kwargs: Any, *, parts: Sequence[str] = ()
) -> int:
    """``parts`` are the commands of a chain, whose job gives the list of their values."""
    from hubkernel.api import JobFailedError, JobHandle
    from hubkernel.hub.commands import CommandError

    try:
        value = hub.call(name, *args, **kwargs)
    except CommandError as error:
        return _fail(str(error), USAGE)
    except JobFailedError as error:
        return _fail(str(error), FAILED)
    except Exception as error:  # whatever a command raises, the caller wants one line and a status
        return _fail(f"{name}: {type(error).__name__}: {error}", FAILED)
    if isinstance(value, JobHandle):
        return _exec_job(value, options, parts)
    _print_value(value, name, as_json=options.json)
    return 0


def _exec_job(job: JobHandle, options: argparse.Namespace, parts: Sequence[str]) -> int:
    from hubkernel import live

    screen: live.Screen = live.Silent() if options.quiet else live.terminal(sys.stderr)
    try:
        live.follow(job, screen)
    except KeyboardInterrupt:
        live.cancel(job, screen)  # a second Ctrl-C ends the waiting for that, and closes the hub
        return _end_of_job(job, options, parts) and INTERRUPTED
    return _end_of_job(job, options, parts)


def _end_of_job(job: JobHandle, options: argparse.Namespace, parts: Sequence[str]) -> int:
    if options.json:
        _print_json(job.record.to_dict())
    elif job.state == "done":
        values = zip(parts, job.record.result, strict=True) if parts else [(job.name, job.record.result)]
        for name, value in values:
            _print_value(value, name, as_json=False)
    if job.state == "done":
        return 0
    if options.traceback and job.record.traceback:
        print(job.record.traceback.rstrip(), file=sys.stderr)
    return _fail(f"job {job.id} {job.command} {job.state}{f': {job.error}' if job.error else ''}", FAILED)


def _print_value(value: Any, kind: str, *, as_json: bool) -> None:
    if as_json:
        _print_json(value)
    elif isinstance(value, str):
        print(value)
    elif value is not None:
        from hubkernel import display
        from hubkernel.facade import shaped

        bundle = display.value_bundle(shaped(value, kind))
        print(bundle["text/plain"]) if bundle else _print_json(value, indent=2)


def _print_json(value: Any, indent: int | None = None) -> None:
    import json

    print(json.dumps(value, indent=indent, default=str, ensure_ascii=False))


# ------------------------------------------------------------------------------------------------- status, demo, kernel


def run_status(options: argparse.Namespace, home: HubHome) -> int:
    """``hubkernel status``: reads the hub's state; starts nothing and takes no lock."""
    from hubkernel.overview import overview

    found = overview(home)
    if options.json:
        _print_json(found.to_dict())
    else:
        print(found.text())
    return 0


def run_start(options: argparse.Namespace, home: HubHome) -> int:
    """``hubkernel start``."""
    from hubkernel import discovery

    if options.foreground:
        from hubkernel.server_ext.__main__ import main as serve

        return serve(["--home", str(home.root), *(["--app", options.app] if options.app else [])])
    owner, new = discovery.Finder(home).ensure_new(options.app)
    if not new and options.app:
        return _fail(f"the hub at {home} runs already: `hubkernel restart --app {options.app}`", BUSY)
    print(f"the hub at {home} {'runs' if new else 'ran already'}: process {owner.pid}, {owner.url}")
    return 0


def run_stop(options: argparse.Namespace, home: HubHome) -> int:
    """``hubkernel stop``."""
    from hubkernel import discovery

    ended = discovery.stop(home)
    print(f"the hub at {home} ended: process {ended.pid}" if ended else f"no hub runs at {home}")
    return 0


def run_restart(options: argparse.Namespace, home: HubHome) -> int:
    """``hubkernel restart``; without ``--app`` it is the script that ran before."""
    from hubkernel import discovery

    ended = discovery.stop(home)
    options.app = options.app or (ended.app if ended else None)
    options.foreground = False
    return run_start(options, home)


def run_url(options: argparse.Namespace, home: HubHome) -> int:
    """``hubkernel url``: starts nothing."""
    from hubkernel.owner import read_owner

    owner = read_owner(home.run)
    if owner is None or not owner.url:
        why = f"is in process {owner.pid} ({owner.placement}), out of reach" if owner else "does not run"
        return _fail(f"the hub at {home} {why}; `hubkernel start` starts one where there is none", FAILED)
    if options.json:
        _print_json({name: getattr(owner, name) for name in ("url", "token", "pid", "placement")})
    else:
        print(f"{owner.url}hubkernel/api/hub?token={owner.token}")
    return 0


def run_demo(options: argparse.Namespace, home: HubHome) -> int:
    """``hubkernel demo``."""
    from hubkernel.demo.run import main as demo

    return demo(home)


def run_install(options: argparse.Namespace, home: HubHome) -> int:
    """``hubkernel install-kernel``; a home that was given is the one that the kernel will use."""
    import json
    import tempfile
    from pathlib import Path

    from jupyter_client.kernelspec import KernelSpecManager

    spec: dict[str, Any] = {
        "argv": [sys.executable, "-m", "hubkernel.kernel", "-f", "{connection_file}"],
        "display_name": "Hub" if options.name == "hub" else f"Hub ({options.name})",
        "language": "python",
        "interrupt_mode": "signal",
        "metadata": {
            "debugger": True,
            "supported_encryption": ["curve"],
            "supported_features": ["kernel subshells"],
        },
    }
    if options.home:
        spec["env"] = {"HUBKERNEL_HOME": str(home)}
    prefix = options.prefix or (sys.prefix if options.sys_prefix else None)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kernel.json").write_text(json.dumps(spec, indent=2))
        where = KernelSpecManager().install_kernel_spec(folder, options.name, user=prefix is None, prefix=prefix)
    print(f"installed {where}: choose the kernel {spec['display_name']!r}, or jupyter console --kernel {options.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
