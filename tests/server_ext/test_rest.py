"""REST of commands and jobs: what is answered, to whom, and how errors read."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from hubkernel import wire
from hubkernel.hub.commands import CommandDefinition, Role
from hubkernel.hub.tokens import TokenStore
from hubkernel.server_ext.base import MAX_BODY
from tests.doors.fake import FakeServer
from tests.doors.serving import SITE_TOKEN, Serving

PATHS = ["hub", "registry", "jobs", "jobs/1", "events"]


def call(client: httpx.Client, name: str, *args: Any, **kwargs: Any) -> httpx.Response:
    return client.post(f"call/{name}", json={"args": args, "kwargs": kwargs})


class TestAnswers:
    def test_the_ping_says_which_hub_and_who_asks(self, rest: httpx.Client, server: FakeServer) -> None:
        found = rest.get("hub").json()
        assert (found["home"], found["role"], found["protocol"]) == (str(server.home), "developer", 1)
        assert found["epoch"] == rest.get("hub").headers[wire.EPOCH]

    def test_the_registry_is_enough_to_rebuild_commands(self, rest: httpx.Client) -> None:
        info = wire.restore("dump", rest.get("registry").json()["dump"])
        assert (info.parameters, info.role, info.is_async) == (["src", "force"], "operator", True)

    def test_a_value_is_200(self, rest: httpx.Client) -> None:
        answer = call(rest, "later", 41)
        assert (answer.status_code, answer.json()) == (200, {"result": 42})

    def test_a_tracked_plain_command_is_waited_for(self, rest: httpx.Client) -> None:
        assert call(rest, "setconf", "x", 3).json() == {"result": {"x": 3}}

    def test_a_job_is_202_with_its_place(self, rest: httpx.Client, server: FakeServer) -> None:
        answer = call(rest, "dump", "x")
        assert answer.status_code == 202
        assert answer.headers["Location"] == "/hubkernel/api/jobs/1"
        job = rest.get(answer.headers["Location"].rpartition("api/")[2]).json()["job"]
        assert (job["state"], job["door"], job["command"]) == ("running", "rest", "dump(src='x')")
        assert rest.delete("jobs/1").json() == {"cancelled": True}
        assert rest.delete("jobs/1").json() == {"cancelled": False}
        assert server.jobs.records[1].state == "cancelled"

    def test_jobs_are_chosen(self, rest: httpx.Client, server: FakeServer) -> None:
        for name in "xyz":
            call(rest, "dump", name)
        server.jobs.move(2, state="failed", error="no")
        assert [job["id"] for job in rest.get("jobs?failed=true").json()["jobs"]] == [2]
        assert [job["id"] for job in rest.get("jobs?limit=2").json()["jobs"]] == [3, 2]

    def test_bson_is_spoken_to_who_wants_it(self, rest: httpx.Client, server: FakeServer) -> None:
        server.commands["echo"] = CommandDefinition(lambda value: value, tracked=False)
        body = wire.dumps({"args": [b"\0"]}, wire.BSON)
        answer = rest.post("call/echo", content=body, headers={"Accept": wire.BSON, "Content-Type": wire.BSON})
        assert answer.headers["Content-Type"] == wire.BSON
        assert wire.loads(answer.content, wire.BSON) == {"result": b"\0"}

    def test_json_has_a_form_for_everything(self, rest: httpx.Client, server: FakeServer) -> None:
        value = {"set": {1}, "path": server.home, "big": 1 << 80, "nan": float("nan"), "key": {1: b"x"}, "odd": object}
        server.commands["odd"] = CommandDefinition(lambda: value, tracked=False)
        found = call(rest, "odd").json()["result"]
        assert (found["set"], found["path"], found["nan"], found["key"]) == ([1], str(server.home), None, {"1": "eA=="})
        assert found["big"] == str(1 << 80)


class TestErrors:
    @pytest.mark.parametrize(
        ("path", "content", "status", "says"),
        [
            ("call/dmp", b"", 404, "did you mean 'dump'"),
            ("call/dump", b"", 400, "'src' is missing"),
            ("call/dump", b"{", 400, "this is no JSON"),
            ("call/dump", b"[1]", 400, "an object is expected, not list"),
            ("call/dump", b'{"arguments": []}', 400, "not arguments"),
            ("call/dump", b'{"args": "x"}', 400, '"args" is a list'),
            ("call/setconf", b'{"args": ["nothing", 1]}', 422, "there is no setting 'nothing'"),
        ],
    )
    def test_the_callers_mistakes_are_4xx_with_a_reason(
        self, rest: httpx.Client, path: str, content: bytes, status: int, says: str
    ) -> None:
        answer = rest.post(path, content=content)
        found = answer.json()
        assert (answer.status_code, found["status"], found["code"]) == (status, "error", status)
        assert says in found["error"]

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("jobs/99", 404),
            (f"jobs/{'9' * 30}", 404),
            ("jobs?limit=many", 400),
            ("jobs?limit=0", 400),
            ("jobs?running=maybe", 400),
            ("events?since=-1", 400),
        ],
    )
    def test_bad_questions(self, rest: httpx.Client, path: str, status: int) -> None:
        assert rest.get(path).status_code == status

    def test_our_mistakes_are_500(self, rest: httpx.Client, server: FakeServer) -> None:
        server.commands["bug"] = CommandDefinition(lambda: {}.nothing, tracked=False)  # type: ignore[attr-defined]
        answer = call(rest, "bug")
        assert (answer.status_code, answer.json()["type"]) == (500, "AttributeError")

    def test_a_wrong_verb_is_405(self, rest: httpx.Client) -> None:
        assert rest.put("hub").status_code == 405

    def test_a_body_can_be_too_large(self, rest: httpx.Client, server: FakeServer) -> None:
        answer = rest.post("call/dump", content=b"x" * (MAX_BODY + 1))
        assert answer.status_code == 413
        assert not server.jobs.records


class TestWho:
    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("token", ["", "token wrong", "Bearer wrong", "Basic dG9rZW46"])
    def test_nobody_gets_in_without_a_good_token(self, nobody: httpx.Client, path: str, token: str) -> None:
        answer = nobody.get(path, headers={"Authorization": token} if token else {})
        assert answer.status_code == 403
        assert answer.json()["status"] == "error"

    def test_nobody_calls_without_a_token(self, nobody: httpx.Client, server: FakeServer) -> None:
        assert nobody.post("call/dump", json={"args": ["x"]}).status_code == 403
        assert nobody.delete("jobs/1").status_code == 403
        assert not server.jobs.records

    def test_the_site_s_users_may_what_its_authorizer_allows(self, nobody: httpx.Client) -> None:
        found = nobody.get("hub", headers={"Authorization": f"token {SITE_TOKEN}"}).json()
        assert found["role"] == "developer"

    def test_a_cookie_alone_changes_nothing_without_xsrf(
        self, nobody: httpx.Client, served: Serving, server: FakeServer
    ) -> None:
        nobody.get(f"{served.url}login")
        nobody.get("hub", headers={"Authorization": f"token {SITE_TOKEN}"})
        assert nobody.get("hub").status_code == 200
        assert nobody.post("call/dump", json={"args": ["x"]}).status_code == 403
        assert not server.jobs.records
        xsrf = nobody.cookies.get("_xsrf")
        assert xsrf is not None
        answer = nobody.post("call/dump", json={"args": ["x"]}, headers={"X-XSRFToken": xsrf})
        assert answer.status_code == 202

    def test_a_foreign_page_cannot_use_the_cookie(self, nobody: httpx.Client) -> None:
        nobody.get("hub", headers={"Authorization": f"token {SITE_TOKEN}"})
        assert nobody.get("hub", headers={"Origin": "http://evil.example"}).status_code == 404

    def test_the_hub_s_token_opens_nothing_else(self, rest: httpx.Client, served: Serving) -> None:
        answer = rest.get(f"{served.url}api/contents")
        assert answer.status_code == 403

    def test_a_client_may_give_rights_away_but_not_take_them(self, rest: httpx.Client, server: FakeServer) -> None:
        viewer = {wire.ROLE: "viewer", wire.USER: "vera", wire.DOOR: "studio"}
        answer = rest.post("call/dump", json={"args": ["x"]}, headers=viewer)
        assert answer.status_code == 403
        assert "vera is viewer" in answer.json()["error"]
        assert (
            rest.post("call/dump", json={"args": ["x"]}, headers={**viewer, wire.ROLE: "operator"}).status_code == 202
        )
        assert (server.jobs.records[1].user, server.jobs.records[1].door) == ("vera", "studio")

    def test_named_tokens_have_roles_speak_for_nobody_else_and_can_be_revoked(
        self, nobody: httpx.Client, served: Serving, server: FakeServer
    ) -> None:
        server.commands["look"] = CommandDefinition(lambda: "seen", tracked=False, role=Role.viewer)
        tokens = TokenStore(served.folder / "home")
        (served.folder / "home").mkdir(exist_ok=True)
        viewer, operator = tokens.create("vera", "viewer"), tokens.create("otto", "operator")
        nobody.headers["Authorization"] = f"Bearer {viewer}"
        assert nobody.get("hub").json()["role"] == "viewer"
        assert "set-cookie" not in nobody.get("hub").headers
        assert call(nobody, "look").json() == {"result": "seen"}
        assert call(nobody, "dump", "x").status_code == 403
        nobody.headers["Authorization"] = f"Bearer {operator}"
        headers = {wire.USER: "root", wire.ROLE: "developer", wire.DOOR: "made up"}
        assert nobody.post("call/dump", json={"args": ["x"]}, headers=headers).status_code == 202
        assert (server.jobs.records[1].user, server.jobs.records[1].door) == ("otto", "rest")
        tokens.revoke("otto")
        assert nobody.get("hub").status_code == 403
        tokens.revoke("vera")

    def test_who_ran_what_is_kept(self, rest: httpx.Client, server: FakeServer) -> None:
        kept = []
        server.audit = lambda caller, text, outcome: kept.append((caller.user, caller.door, text, outcome[:22]))  # type: ignore[attr-defined]
        server.commands["look"] = CommandDefinition(lambda: "seen", tracked=False, role=Role.viewer)
        as_otto = {wire.USER: "Ott%C3%B6", wire.ROLE: "operator", wire.DOOR: "ssh"}
        rest.headers.update(as_otto)
        call(rest, "look")
        call(rest, "dump", "x")
        call(rest, "setconf", "nothing", 1)
        rest.headers[wire.ROLE] = "viewer"
        call(rest, "dump", "y")
        assert kept == [
            ("Ottö", "ssh", "dump(src='x')", "started"),
            ("Ottö", "ssh", "setconf(name='nothing',value=1)", "failed: JobFailedError"),  # and the reason
            ("Ottö", "ssh", "dump", "refused"),
        ]

    def test_a_site_s_user_speaks_for_themself_only(self, nobody: httpx.Client, server: FakeServer) -> None:
        headers = {"Authorization": f"token {SITE_TOKEN}", wire.USER: "root", wire.ROLE: "developer"}
        assert nobody.post("call/dump", json={"args": ["x"]}, headers=headers).status_code == 202
        assert server.jobs.records[1].user not in ("", "root")

    def test_roles_of_the_site_s_authorizer(
        self, nobody: httpx.Client, served: Serving, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.commands["look"] = CommandDefinition(lambda: "seen", tracked=False, role=Role.viewer)
        allowed = {("read", "hubkernel")}
        authorizer = served.server.web_app.settings["authorizer"]
        monkeypatch.setattr(
            type(authorizer),
            "is_authorized",
            lambda self, handler, user, action, resource: (action, resource) in allowed,
        )
        nobody.headers["Authorization"] = f"token {SITE_TOKEN}"
        assert nobody.get("hub").json()["role"] == "viewer"
        assert call(nobody, "look").json() == {"result": "seen"}
        assert call(nobody, "dump", "x").status_code == 403
        allowed.add(("execute", "hubkernel:operator"))
        assert nobody.get("hub").json()["role"] == "operator"
        assert call(nobody, "dump", "x").status_code == 202
        allowed.clear()
        assert nobody.get("hub").status_code == 403
