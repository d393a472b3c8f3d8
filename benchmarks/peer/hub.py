"""The peer's hub, driven as its own server drives it. Runs inside the peer's virtual environment only.

``python hub.py PORT DATA WORKERS upload NAME [STORAGE]`` or ``... merge NAME NAME ...``: the documents of
``DATA/<NAME>.jsonl`` through an uploader of the peer into a mongod on PORT, or collections merged into one build. The
last line printed is JSON: documents, wall seconds, and CPU seconds of this process and its workers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import time
import types
from pathlib import Path
from typing import Any


def configure(port: int, root: Path, prefix: str = "peer") -> None:
    """The settings module that the peer wants to find before its first import; ``prefix`` begins databases' names."""
    uri = f"mongodb://127.0.0.1:{port}"
    config = types.ModuleType("config")
    values: dict[str, Any] = {
        "DATA_ARCHIVE_ROOT": str(root / "archive"),
        "LOG_FOLDER": str(root / "logs"),
        "RUN_DIR": str(root / "run"),
        "CACHE_FOLDER": str(root / "cache"),
        "DIFF_PATH": str(root / "diff"),
        "RELEASE_PATH": str(root / "release"),
        "HUB_DB_BACKEND": {"module": "biothings.utils.mongo", "uri": uri},
        "DATA_HUB_DB_DATABASE": f"{prefix}_hub",
        "CONFIG_READONLY": True,
    }
    for kind, database in (("SRC", f"{prefix}_src"), ("TARGET", f"{prefix}_target")):
        values[f"DATA_{kind}_SERVER"] = "127.0.0.1"
        values[f"DATA_{kind}_PORT"] = port
        values[f"DATA_{kind}_DATABASE"] = database
        values[f"DATA_{kind}_SERVER_USERNAME"] = values[f"DATA_{kind}_SERVER_PASSWORD"] = ""
    for name, value in values.items():
        setattr(config, name, value)
        if name.endswith(("FOLDER", "ROOT", "DIR", "PATH")):
            Path(value).mkdir(parents=True, exist_ok=True)
    sys.modules["config"] = config
    import biothings

    biothings.config_for_app(config)


def uploader_class(name: str, storage: str) -> type:
    from biothings.hub.dataload import storage as storages
    from biothings.hub.dataload import uploader

    def load_data(self: Any, folder: str) -> Any:
        with open(f"{folder}/{self.name}.jsonl") as lines:  # noqa: PTH123 - a parser as people write them
            for line in lines:
                yield json.loads(line)

    body = {"name": name, "main_source": name, "load_data": load_data, "storage_class": getattr(storages, storage)}
    made = type(f"{name.title().replace('_', '')}Uploader", (uploader.BaseSourceUploader,), body)
    made.__module__ = __name__
    globals()[made.__name__] = made
    return made


def pretend_dumped(name: str, folder: str) -> None:
    from biothings.utils.hub_db import get_src_dump

    download = {"status": "success", "release": "1", "data_folder": folder}
    get_src_dump().replace_one({"_id": name}, {"_id": name, "download": download}, upsert=True)


async def upload(jobs: Any, name: str, folder: str, storage: str) -> int:
    from biothings.hub.dataload.uploader import UploaderManager
    from biothings.utils.mongo import get_src_db

    manager = UploaderManager(job_manager=jobs)
    manager.register_classes([uploader_class(name, storage)])
    pretend_dumped(name, folder)
    result = manager.upload_src(name)
    await asyncio.gather(*(result if isinstance(result, list) else [result]))
    return int(get_src_db()[name].estimated_document_count())


async def merge(jobs: Any, names: list[str]) -> int:
    from biothings.hub.databuild.builder import BuilderManager
    from biothings.utils.hub_db import get_src_build_config, get_src_master
    from biothings.utils.mongo import get_target_db

    for name in names:
        mapping = {name: {"properties": {"name": {"type": "text"}}}}
        get_src_master().replace_one({"_id": name}, {"_id": name, "name": name, "mapping": mapping}, upsert=True)
    recipe = {"_id": "all", "name": "all", "doc_type": "gene", "sources": names, "root": []}
    get_src_build_config().replace_one({"_id": "all"}, recipe, upsert=True)
    manager = BuilderManager(job_manager=jobs)
    manager.configure()
    result = manager.merge("all", target_name=f"all_{time.time_ns()}", force=True)
    await asyncio.gather(*(result if isinstance(result, list) else [result]))
    target = get_target_db()
    newest = max(name for name in target.list_collection_names() if name.startswith("all_"))
    return int(target[newest].estimated_document_count())


def cpu() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))


def main() -> None:
    port, folder, workers, action, *names = sys.argv[1:]
    logging.disable(logging.WARNING)  # in the peer's favour: it logs at DEBUG
    configure(int(port), Path.cwd())
    from biothings.utils.manager import JobManager

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    jobs = JobManager(loop, num_workers=int(workers))
    storage = names[1] if action == "upload" and len(names) > 1 else "BasicStorage"
    work = upload(jobs, names[0], folder, storage) if action == "upload" else merge(jobs, names)
    started, spent = time.perf_counter(), cpu()
    count = loop.run_until_complete(work)
    wall = time.perf_counter() - started
    jobs.process_queue.shutdown(wait=True)
    print(json.dumps({"documents": count, "wall": wall, "cpu": cpu() - spent}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    import hub  # the peer looks its uploader classes up by module, and __main__ is none

    hub.main()
