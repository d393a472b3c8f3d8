"""``docs/operators/settings.md``: every setting with its meaning, and what became of BioThings' other options."""

from __future__ import annotations

import json

from pydantic.fields import FieldInfo

from hubkernel.hub.config import HubConfig, extra_of, is_secret
from hubkernel.jobs.masking import masked


def settings_table() -> str:
    """``docs/operators/settings.md``: every setting, its meaning and default."""
    lines = [_TABLE_HEAD]
    sections: dict[str, list[str]] = {}
    for name, info in HubConfig.model_fields.items():
        sections.setdefault(extra_of(info)["section"], []).append(_row(name, info))
    for section, rows in sections.items():
        lines += [
            f"## {section}",
            "",
            "| setting | default | meaning | BioThings name |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    lines += [_ELSEWHERE_HEAD, *(f"| `{name}` | {reason} |" for name, reason in ELSEWHERE.items()), ""]
    return "\n".join(lines)


def _row(name: str, info: FieldInfo) -> str:
    default = info.get_default(call_default_factory=True)
    shown = "" if default is None else f"`{json.dumps(masked(default))}`"
    notes = [
        text for flag, text in ((is_secret(info), "Secret."), (extra_of(info)["live"], "Takes effect at once.")) if flag
    ]
    meaning = " ".join([info.description or "", *notes]).replace("|", "\\|")
    old = f"`{extra_of(info)['old']}`" if extra_of(info)["old"] else ""
    return f"| `{name}` | {shown} | {meaning} | {old} |"


_TABLE_HEAD = """# Settings

Generated from `hubkernel/hub/settings.py` by `python -m hubkernel.hub.reference`; a test keeps it current.

A hub reads `hubkernel.toml` in its home (`name = value`, one a line), or a Python module `config.py` there, with the
same names in capitals or the BioThings names. `HUBKERNEL_<NAME>` in the environment wins over both, and over `setconf`,
which stores a value in the hub's state. A setting that is not marked takes effect at the next start.

| command | does |
|---|---|
| `config()` | shows all settings, where each comes from, and whether a restart would change something (`_dirty`) |
| `setconf("max_workers", 4)` | checks and stores a value, applies it if it is live, or says that it `needs_restart` |
| `setconf("my_source.SCHEDULE", "0 3 * * *")` | changes a key of a source's `dumper`, from the next `reload()` on |
| `resetconf("max_workers")`, `resetconf()` | forgets one or all of these |

`setconf` takes the value or its JSON in a text. It refuses what does not fit, secrets, what the environment fixes, and
everything if `config_readonly` is set. `MyBuilder.ATTRIBUTE` changes an attribute of a class of the hub's own, in the
same way as the key of a source, when the hub registers the class.

In a `config.py`, comments above a setting are shown with it, and marks are obeyed:

```python
#* Storage *#
# Where our releases go,
# without a slash at the end
#- readonly -#
BUCKET = "releases"    # the one in Oregon
```

`#* Title *#` begins a section (`#* *#` ends it). `#- readonly -#` makes `setconf` refuse it, `#- hidden -#` (or `hide`)
shows its value as `********`, `#- invisible -#` does not show it at all. An empty line forgets the comments before
it. The module may use `ConfigurationError("what for")` for a value that somebody has to give (the hub starts, and
`status()` says that it is missing), `ConfigurationDefault(default, desc)` and `ConfigurationValue("an expression")`,
all from `hubkernel.hub.config_values`.
"""

_ELSEWHERE_HEAD = """## Options of BioThings that mean nothing here

In a `config.py` they are kept for the code of the hub's owner (`server.config.others`), and nothing else reads them.

| option | why |
|---|---|"""

ELSEWHERE = {
    "RUN_DIR": "the journal of jobs takes the place of files by process",
    "CACHE_FOLDER": "builds read the collections themselves; there is no cache of ids",
    "CACHE_FORMAT": "as above",
    "LOGGER_NAME": "loggers are named by their modules, below `hubkernel`",
    "HUB_REFRESH_COMMANDS": "a job tells of its end by itself; nothing is polled",
    "USE_RELOADER": "a script says so: leave `reloader` out of its features, or give `reloader_config=False`",
    "MAX_SYNC_WORKERS": "one pool of workers for everything: `max_workers`",
    "MAX_QUEUED_JOBS": "jobs wait in the journal, which holds any number; `max_memory` limits what runs",
    "DATA_SRC_SERVER": "all collections are in one store: `store_url`",
    "DATA_SRC_PORT": "as above",
    "DATA_SRC_DATABASE": "as above",
    "DATA_SRC_SERVER_USERNAME": "as above; a password belongs into the url in the configuration file",
    "DATA_SRC_SERVER_PASSWORD": "as above",
    "DATA_TARGET_SERVER": "as above",
    "DATA_TARGET_PORT": "as above",
    "DATA_TARGET_DATABASE": "as above",
    "DATA_TARGET_SERVER_USERNAME": "as above",
    "DATA_TARGET_SERVER_PASSWORD": "as above",
    "HUB_DB_BACKEND": "the hub's state is at `state_url`",
    "DATA_HUB_DB_DATABASE": "as above",
    "DATA_SRC_MASTER_COLLECTION": "the names of the hub's own collections are fixed",
    "DATA_SRC_DUMP_COLLECTION": "as above",
    "DATA_SRC_BUILD_COLLECTION": "as above",
    "DATA_SRC_BUILD_CONFIG_COLLECTION": "as above",
    "DATA_PLUGIN_COLLECTION": "as above",
    "API_COLLECTION": "as above",
    "CMD_COLLECTION": "as above",
    "EVENT_COLLECTION": "as above",
    "HUB_CONFIG_COLLECTION": "as above",
    "DATA_TARGET_MASTER_COLLECTION": "as above",
    "HUB_ENV": "a hub is told from another by its home",
    "TORNADO_SETTINGS": "the Jupyter server has its own configuration",
    "BIOTHINGS_ROLE": "it names a role of one provider's cloud",
}
"""Option -> why this hub has none like it."""
