"""Where the code of a plugin is from, if it is in a git repository. Never an error: it is only said if it is known."""

from __future__ import annotations

import logging
import re
import subprocess
from pathlib import Path

logger = logging.getLogger(__name__)

SECONDS = 10
"""After so long git is not waited for."""


def code_info(folder: Path | str) -> dict[str, str] | None:
    """``{"repo", "commit", "branch", "folder", "url"}`` of a plugin's folder, without what is not known; None where
    there is no git. ``url`` leads to the folder at that commit on GitHub and what is built like it.
    """
    folder = Path(folder)
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return None
    try:
        top, commit, branch = _git(folder, "rev-parse", "--show-toplevel", "HEAD", "--abbrev-ref", "HEAD")
        remote = next(iter(_git(folder, "config", "--get", "remote.origin.url", check=False)), "")
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        logger.debug("no code info of %s: %s", folder, error)
        return None
    inside = folder.resolve().relative_to(Path(top).resolve()).as_posix()
    repo = _public(remote)
    info = {"repo": repo, "commit": commit[:7], "branch": "" if branch == "HEAD" else branch, "folder": inside}
    if repo.startswith("https://"):
        info["url"] = f"{repo}/tree/{commit}" + ("" if inside == "." else f"/{inside}")
    return {key: value for key, value in info.items() if value}


def _git(folder: Path, *arguments: str, check: bool = True) -> list[str]:
    command = ["git", "-C", str(folder), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=check, timeout=SECONDS)
    return ended.stdout.splitlines()


def _public(remote: str) -> str:
    """The address of a repository without a login in it, as https where git would use ssh."""
    shell = re.fullmatch(r"(?:ssh://)?git@([^:/]+)[:/](.+)", remote)
    address = f"https://{shell[1]}/{shell[2]}" if shell else remote
    return re.sub(r"^(\w+://)[^/@]*@", r"\1", address).removesuffix(".git")
