"""Sources whose uploaders are classes, without the search for them: what it would find is given."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubkernel.pipeline.plugins.specs import UploaderSpec
from tests.pipeline.hub_tools import Hub

HEAD = """
from hubkernel.pipeline.upload import storages
from hubkernel.pipeline.upload.uploaders import *
"""


@dataclass
class ClassPlugin:
    name: str
    folder: Path
    specs: dict[str, UploaderSpec]
    uploaders: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


def of_classes(hub: Hub, source: str, code: str, *names: str, **spec: Any) -> ClassPlugin:
    """A source with a class ``Up`` (or one of each of ``names``) in ``up.py``; collections are called like classes in
    lower case, the only one like the source.
    """
    folder = hub.root / "plugins" / source
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "up.py").write_text(HEAD + textwrap.dedent(code))
    targets = {name.lower(): f"up:{name}" for name in names} or {source: "up:Up"}
    specs = {name: UploaderSpec(name, source, target=target, **spec) for name, target in targets.items()}
    plugin = ClassPlugin(source, folder, specs)
    hub.plugins.plugins[source] = plugin  # type: ignore[assignment]
    hub.release(source, "1")
    return plugin


class Lookup:
    """A key lookup as hubs have: a decorator of parsers."""

    def __init__(self, prefix: str, skip_on_failure: bool = False) -> None:
        self.prefix, self.skip = prefix, skip_on_failure

    def __call__(self, parser: Any) -> Any:
        def looked_up(*args: Any) -> Any:
            for document in parser(*args):
                if not self.skip or document["_id"].isdigit():
                    yield {**document, "_id": self.prefix + document["_id"]}

        return looked_up
