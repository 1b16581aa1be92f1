"""Errors in the shape of the path's dialect: unknown paths, wrong methods, missing and wrong keys."""

import pytest
from fake_llm import answers
from raw_client import CHAT, RawClient, get, post

KEY = "client-key-0123456789"


@pytest.fixture(scope="module")
def backend(shared_llm):
    return shared_llm("a", chat=answers("Hello from a"))


@pytest.fixture(scope="module")
def gw(backend, shared_gateway):
    return shared_gateway(backend, health="{interval: 10m, timeout: 1s}")


@pytest.fixture(scope="module")
def locked(backend, shared_gateway):
    return shared_gateway(backend, health="{interval: 10m, timeout: 1s}",
                          keys=f"[{{name: web, key: {KEY}}}, {{name: other, key: another-key-987654}}]")


def check_shape(dialect: str, body: dict, status: int) -> str:
    """Asserts the dialect's shape; the message."""
    if dialect == "ollama":
        assert set(body) == {"error"} and isinstance(body["error"], str)
        return body["error"]
    if dialect == "anthropic":
        assert set(body) == {"type", "error", "request_id"} and body["type"] == "error"
        assert set(body["error"]) == {"type", "message"}
        assert body["error"]["type"] == {400: "invalid_request_error", 401: "authentication_error",
                                         404: "not_found_error", 405: "invalid_request_error"}[status]
        return body["error"]["message"]
    assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["type"] == "invalid_request_error"
    return body["error"]["message"]


UNKNOWN = [
    ("POST", "/v1/nothing", "openai"), ("GET", "/", "openai"), ("GET", "/v1", "openai"), ("GET", "/v1/", "openai"),
    ("POST", "/v1/chat/completions/", "openai"), ("POST", "/V1/chat/completions", "openai"),
    ("POST", "/v1//chat/completions", "openai"), ("POST", "/v1/chat%2fcompletions", "openai"),
    ("GET", "/healthz", "openai"), ("GET", "/metrics", "openai"), ("GET", "/status", "openai"),
    ("GET", "/props", "openai"), ("GET", "/slots", "openai"), ("POST", "/sleep", "openai"),
    ("POST", "/v1/load_lora_adapter", "openai"), ("POST", "/collective_rpc", "openai"),
    ("POST", "/backends/a/disable", "openai"), ("POST", "/v1/messages-other", "openai"),
    ("POST", "/v1/messages/nothing", "anthropic"), ("GET", "/v1/messages/batches", "anthropic"),
    ("POST", "/api/create", "ollama"), ("POST", "/api/pull", "ollama"), ("POST", "/api/push", "ollama"),
    ("DELETE", "/api/delete", "ollama"), ("GET", "/api/", "ollama"), ("POST", "/api/blobs/sha256:0", "ollama"),
]


@pytest.mark.parametrize("method, path, dialect", UNKNOWN)
def test_an_unknown_path_is_404_in_the_dialect_of_the_path(method, path, dialect, gw, backend):
    before = backend.connections
    answer = gw.request(method, path, b"{}" if method == "POST" else None)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"
    assert check_shape(dialect, answer.json, 404)
    assert backend.connections == before


@pytest.mark.parametrize("method, path, allow", [
    ("GET", "/v1/chat/completions", "POST"), ("PUT", "/v1/chat/completions", "POST"),
    ("DELETE", "/v1/models", "GET"), ("POST", "/v1/models/m", "GET"), ("POST", "/health", "GET"),
    ("OPTIONS", "/ready", "GET"), ("BREW", "/health", "GET")])
def test_a_wrong_method_is_405_and_names_the_right_one(method, path, allow, gw, backend):
    before = backend.connections
    answer = gw.request(method, path)
    assert answer.status == 405
    assert allow in answer.headers["allow"].split(", ")
    check_shape("openai", answer.json, 405)
    assert answer.json["error"]["code"] == "method_not_allowed"
    assert backend.connections == before


@pytest.mark.parametrize("path, dialect", [("/v1/messages", "anthropic"), ("/v1/messages?beta=true", "anthropic"),
                                           ("/api/chat", "ollama"), ("/v1/chat/completions", "openai")])
def test_a_malformed_request_is_400_in_the_dialect_of_its_path(path, dialect, gw):
    with RawClient(gw.port) as client:
        client.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n")
        response = client.response()
        assert response.status == 400
        check_shape(dialect, response.json, 400)


# --- keys ---

@pytest.mark.parametrize("headers", [
    {"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"Authorization": f"BEARER  {KEY} "},
    {"x-api-key": KEY}, {"X-API-Key": "another-key-987654"}])
def test_a_right_key_opens(headers, locked):
    answer = locked.chat(headers=headers)
    assert answer.status == 200 and answer.text == "Hello from a"


@pytest.mark.parametrize("headers", [
    {}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"x-api-key": ""},
    {"Authorization": f"Basic {KEY}"}, {"Authorization": KEY}, {"Authorization": f"Bearer{KEY}"},
    {"Authorization": f"Bearer {KEY}x"}, {"Authorization": f"Bearer {KEY[:-1]}"}, {"x-api-key": KEY.upper()},
    {"Authorization": f"Bearer {KEY} another-key-987654"}, {"Authorization": "Bearer " + "x" * 20_000},
    {"Cookie": f"key={KEY}"}, {"Authorization": "Bearer wrong", "Cookie": KEY}])
def test_a_missing_or_wrong_key_is_401(headers, locked, backend):
    before = backend.connections
    answer = locked.chat(headers=headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    check_shape("openai", answer.json, 401)
    assert answer.json["error"]["code"] == "invalid_api_key"
    assert KEY.encode() not in answer.body
    assert backend.connections == before


def test_models_need_a_key_too(locked):
    assert locked.request("GET", "/v1/models").status == 401
    assert locked.request("GET", "/v1/models/m").status == 401
    assert locked.request("GET", "/v1/models", headers={"x-api-key": KEY}).status == 200


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_health_is_open(path, locked):
    assert locked.request("GET", path).status == 200
    assert locked.request("HEAD", path).status == 200


@pytest.mark.parametrize("path, dialect", [("/v1/messages", "anthropic"), ("/v1/messages/count_tokens", "anthropic"),
                                           ("/api/chat", "ollama"), ("/v1/responses", "openai")])
def test_what_is_not_served_is_said_in_its_dialect_with_and_without_a_key(path, dialect, locked):
    for headers in ({}, {"x-api-key": KEY}):
        answer = locked.request("POST", path, CHAT, headers)
        assert answer.status in (401, 404)
        check_shape(dialect, answer.json, answer.status)


def test_a_refusal_by_key_reads_the_body_away_and_keeps_the_connection(locked):
    with RawClient(locked.port) as client:
        client.send(post(CHAT) + get("/health"))
        assert client.response().status == 401
        assert client.response().status == 200


def test_a_key_is_asked_for_before_the_body_is_read(locked):
    with RawClient(locked.port) as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n")
        assert client.response().status == 401


def test_keys_are_never_logged(locked):
    locked.chat(headers={"Authorization": f"Bearer {KEY}"})
    locked.chat(headers={"Authorization": "Bearer wrong-key-of-a-client"})
    assert not locked.logged(KEY) and not locked.logged("wrong-key-of-a-client")


def test_what_a_client_sends_cannot_forge_log_lines(gw):
    evil = "x\r\nlevel=error msg=forged\x1b[31m\n"
    gw.chat(model=evil)
    gw.request("GET", "/v1/models/%0a")
    with RawClient(gw.port) as client:
        client.send(b"GET /\x1b[31m HTTP/1.1\r\nHost: x\r\n\r\n").response()
    for line in gw.lines:
        assert not line.startswith("level=error msg=forged") and "\x1b" not in line
