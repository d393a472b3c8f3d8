"""The SDK's own hub on a mongod: loads plugins, dumps and uploads each. Runs inside the SDK's environment only.

``python sdk_hub.py PORT PREFIX PLUGINS NAME ...``: PLUGINS is the folder of the plugins. Prints one line of JSON: what
each source ended with, ``{name: {"release", "collections", "errors"}}``. The documents stay in the database
``<PREFIX>_src``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from hub import configure  # the peer of the benchmarks, copied beside this file


def load(managers: dict[str, Any], plugins: Path, name: str) -> None:
    """As the hub does at its start for a plugin that was registered before."""
    from biothings.utils.hub_db import get_data_plugin

    folder = {"status": "success", "release": "", "data_folder": str(plugins / name)}
    document = {"_id": name, "plugin": {"url": f"local://{name}", "type": "local", "active": True}, "download": folder}
    get_data_plugin().replace_one({"_id": name}, document, upsert=True)
    managers["assistant"].load_plugin(document)


def open_managers(jobs: Any) -> dict[str, Any]:
    from biothings.hub.dataload.dumper import DumperManager
    from biothings.hub.dataload.uploader import UploaderManager
    from biothings.hub.dataplugin.manager import AssistantManager, DataPluginManager

    dumps, uploads = DumperManager(job_manager=jobs), UploaderManager(job_manager=jobs)
    assistant = AssistantManager(DataPluginManager(job_manager=jobs), dumps, uploads, job_manager=jobs)
    assistant.configure()
    return {"dump": dumps, "upload": uploads, "assistant": assistant}


async def finished(tasks: Any) -> list[str]:
    """The errors of some tasks, all awaited."""
    tasks = tasks if isinstance(tasks, list) else [tasks]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return [f"{type(error).__name__}: {error}" for error in results if isinstance(error, BaseException)]


async def run(managers: dict[str, Any], name: str) -> dict[str, Any]:
    from biothings.utils.hub_db import get_src_dump

    errors = await finished(managers["dump"].dump_src(name))
    if not errors:
        errors = await finished(managers["upload"].upload_src(name))
    document = get_src_dump().find_one({"_id": name}) or {}
    collections = sorted(document.get("upload", {}).get("jobs", {}))
    return {"release": document.get("download", {}).get("release"), "collections": collections, "errors": errors}


def main() -> None:
    port, prefix, plugins, *names = sys.argv[1:]
    logging.disable(logging.WARNING)
    configure(int(port), Path.cwd(), prefix)
    import config

    config.DATA_PLUGIN_FOLDER = plugins
    import biothings

    biothings.config_for_app(config)
    from biothings.utils.manager import JobManager

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    jobs = JobManager(loop, num_workers=2)
    managers = open_managers(jobs)
    for name in names:
        load(managers, Path(plugins), name)
    found = {name: loop.run_until_complete(run(managers, name)) for name in names}
    jobs.process_queue.shutdown(wait=True)  # its workers would outlive this process
    print(json.dumps(found), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
