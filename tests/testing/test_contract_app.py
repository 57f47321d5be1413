"""The application of a contract test keeps its caller signed in, and its database is restored."""

from accounts_app import PASSWORD
from restwell import App
from restwell.edge._context import Message
from restwell.testing import ApiClient
from restwell.testing._contract_app import ContractApp, contract_app


async def member(caller: ApiClient) -> None:
    await caller.sign_in("member@app.example", PASSWORD)


async def call(started: ContractApp, method: str, path: str, **changed: str) -> int:
    """Call it as Schemathesis does: on another event loop, with the headers of the start."""
    statuses: list[int] = []
    headers = {**started.headers, **changed}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in {"Host": "a", **headers}.items()],
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(int(str(message["status"])))

    await started(scope, receive, send)
    return statuses[0]


async def test_a_caller_is_signed_in_again_after_a_sign_out(accounts: App) -> None:
    """Breaks if the token of the start is sent for ever."""
    with contract_app(accounts) as started:
        started.start_as(member)
        for _ in range(2):
            assert await call(started, "DELETE", "/v1/sessions/current") == 204
            assert await call(started, "GET", "/v1/users/me") == 200
        assert await call(started, "GET", "/v1/users/me", Authorization="Bearer wrong") == 401


async def test_the_database_is_restored_if_the_caller_cannot_sign_in(accounts: App) -> None:
    """Breaks if the account stays deleted: all later requests would be a 401."""
    with contract_app(accounts) as started:
        started.start_as(member)
        assert await call(started, "DELETE", "/v1/users/me") == 204
        assert await call(started, "GET", "/v1/users/me") == 200


async def test_each_run_starts_with_the_same_data(accounts: App) -> None:
    """Breaks if the copy is not restored at the start of a run."""
    with contract_app(accounts) as started:
        started.start_as(member)
        assert await call(started, "DELETE", "/v1/users/me") == 204
        started.start_as(member)
        assert await call(started, "GET", "/v1/users/me") == 200


async def test_a_run_without_a_caller_sends_no_credentials(accounts: App) -> None:
    with contract_app(accounts) as started:
        started.start_as(member)
        started.start_as(None)
        assert started.headers == {}
        assert await call(started, "GET", "/v1/users/me") == 401


async def test_the_credentials_of_a_browser_and_own_headers_are_sent(accounts: App) -> None:
    async def browser(caller: ApiClient) -> None:
        caller.headers["x-own"] = "1"
        await caller.sign_in("member@app.example", PASSWORD, cookies=True)

    with contract_app(accounts) as started:
        started.start_as(browser)
        assert started.headers["x-own"] == "1"
        assert "Authorization" not in started.headers
        assert await call(started, "GET", "/v1/users/me") == 200


def test_the_responses_of_a_journey_are_returned(accounts: App) -> None:
    async def journey(caller: ApiClient) -> None:
        await member(caller)
        await caller.get("/v1/users/me")

    with contract_app(accounts) as started:
        started.start_as(None)
        responses = started.travel(journey)
        assert [response.status_code for response in responses] == [201, 200]
        assert started.travel(member)[0].json()["access_token"]
