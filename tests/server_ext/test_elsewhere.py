"""A Jupyter server that only talks to the hub's own process."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.doors.serving import Serving, serving

PATHS = ["status", "", "openapi.json", "logs/", "log/hub.log", "metrics", "../readonly/api/status"]


def test_what_only_the_hubs_process_has_is_refused_with_the_place(served: Serving, tmp_path: Path) -> None:
    with serving(tmp_path) as lab:
        remote = served.remote(tmp_path)
        lab.use(remote)
        headers = {"Authorization": f"token {lab.owner.token}"}
        with httpx.Client(base_url=f"{lab.url}hubkernel/api/", headers=headers, trust_env=False) as client:
            assert client.get("registry").status_code == 200
            for path in PATHS:
                answer = client.get(path)
                assert answer.status_code == 421, path
                assert "'hubkernel url' shows where it is" in answer.json()["error"]
            assert client.put("dataupload/src/file", content=b"x").status_code == 421
        remote.close()
