"""Bodies that are not a chat request in strict JSON: 400 with the place of the fault, and no backend sees
them (llama.cpp answers 500 to bad JSON: one bad client would burn every tier)."""

import json

import pytest
from fake_llm import answers
from raw_client import CHAT

GOOD = json.dumps(CHAT)


@pytest.fixture(scope="module")
def backend(shared_llm):
    return shared_llm("a", chat=answers("Hello from a"))


@pytest.fixture(scope="module")
def gw(backend, shared_gateway):
    return shared_gateway(backend, health="{interval: 10m, timeout: 1s}", log="{level: info}")


def nested(depth: int) -> str:
    """A chat whose arrays stand `depth` levels deep."""
    arrays = depth - 1
    return GOOD[:-1] + ', "x": ' + "[" * arrays + "]" * arrays + "}"


def with_member(text: str) -> str:
    return GOOD[:-1] + ", " + text + "}"


NOT_JSON = {
    "empty": b"",
    "white_space": b" \r\n\t ",
    "word": b"hello",
    "form": b"model=m&messages=x",
    "cut": GOOD[:-1].encode(),
    "cut_in_a_string": GOOD[:20].encode(),
    "two_values": (GOOD + GOOD).encode(),
    "bytes_behind": (GOOD + "x").encode(),
    "nul_behind": (GOOD + "\0").encode(),
    "single_quotes": GOOD.replace('"', "'").encode(),
    "trailing_comma": (GOOD[:-1] + ",}").encode(),
    "trailing_comma_in_an_array": GOOD.replace("}]", "},]").encode(),
    "comment": (GOOD[:-1] + "/* x */}").encode(),
    "key_without_quotes": (GOOD[:-1] + ", x: 1}").encode(),
    "number_with_a_leading_zero": with_member('"x": 01').encode(),
    "number_with_a_plus": with_member('"x": +1').encode(),
    "number_in_hex": with_member('"x": 0x1').encode(),
    "number_without_digits_behind_the_point": with_member('"x": 1.').encode(),
    "number_nan": with_member('"x": NaN').encode(),
    "number_infinity": with_member('"x": -Infinity').encode(),
    "literal_in_capitals": with_member('"x": True').encode(),
    "string_with_a_line_feed": with_member('"x": "a\nb"').encode(),
    "string_with_nul": with_member('"x": "a\0b"').encode(),
    "string_with_a_tab": with_member('"x": "a\tb"').encode(),
    "escape_unknown": with_member('"x": "\\x41"').encode(),
    "escape_cut": with_member('"x": "\\u12"').encode(),
    "escape_of_half_a_surrogate": with_member('"x": "\\ud800"').encode(),
    "escape_of_a_low_surrogate": with_member('"x": "\\udc00"').encode(),
    "utf8_cut": with_member('"x": "').encode() + b'\xe2\x82"}',
    "utf8_overlong": with_member('"x": "').encode() + b'\xc0\xaf"}',
    "utf8_surrogate": with_member('"x": "').encode() + b'\xed\xa0\x80"}',
    "utf8_over_the_end": with_member('"x": "').encode() + b'\xf4\x90\x80\x80"}',
    "utf8_lone_continuation": with_member('"x": "').encode() + b'\x80"}',
    "latin_1": with_member('"x": "é"').encode("latin-1"),
    "utf_16": GOOD.encode("utf-16"),
    "byte_order_mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "key_twice": with_member('"model": "other"').encode(),
    "key_twice_by_escape": with_member('"m\\u006fdel": "other"').encode(),
    "unknown_key_twice": with_member('"x": 1, "x": 2').encode(),
    "depth_129": nested(129).encode(),
    "depth_100000": nested(100_000).encode(),
}

# name: (parameter, code, body)
WRONG = {
    "array": (None, "invalid_type", "[]"),
    "string": (None, "invalid_type", '"hello"'),
    "number": (None, "invalid_type", "1"),
    "null": (None, "invalid_type", "null"),
    "no_members": ("model", "missing_required_parameter", "{}"),
    "model_missing": ("model", "missing_required_parameter", {"messages": CHAT["messages"]}),
    "model_null": ("model", "missing_required_parameter", {**CHAT, "model": None}),
    "model_number": ("model", "invalid_type", {**CHAT, "model": 1}),
    "model_array": ("model", "invalid_type", {**CHAT, "model": ["m"]}),
    "model_empty": ("model", "invalid_value", {**CHAT, "model": ""}),
    "messages_missing": ("messages", "missing_required_parameter", {"model": "m"}),
    "messages_null": ("messages", "missing_required_parameter", {**CHAT, "messages": None}),
    "messages_string": ("messages", "invalid_type", {**CHAT, "messages": "Hi"}),
    "messages_object": ("messages", "invalid_type", {**CHAT, "messages": {"role": "user"}}),
    "messages_empty": ("messages", "invalid_value", {**CHAT, "messages": []}),
    "message_string": ("messages[0]", "invalid_type", {**CHAT, "messages": ["Hi"]}),
    "message_null": ("messages[1]", "invalid_type", {**CHAT, "messages": [*CHAT["messages"], None]}),
    "stream_string": ("stream", "invalid_type", {**CHAT, "stream": "true"}),
    "stream_number": ("stream", "invalid_type", {**CHAT, "stream": 1}),
    "stream_options_boolean": ("stream_options", "invalid_type", {**CHAT, "stream": True, "stream_options": True}),
    "include_usage_string": ("stream_options.include_usage", "invalid_type",
                             {**CHAT, "stream": True, "stream_options": {"include_usage": "yes"}}),
    "max_tokens_string": ("max_tokens", "invalid_type", {**CHAT, "max_tokens": "100"}),
    "max_tokens_zero": ("max_tokens", "invalid_value", {**CHAT, "max_tokens": 0}),
    "max_tokens_negative": ("max_tokens", "invalid_value", {**CHAT, "max_tokens": -1}),
    "max_tokens_fraction": ("max_tokens", "invalid_type", {**CHAT, "max_tokens": 1.5}),
    "max_tokens_beyond_64_bits": ("max_tokens", "invalid_value", {**CHAT, "max_tokens": 2 ** 64 + 1}),
    "max_completion_tokens_boolean": ("max_completion_tokens", "invalid_type",
                                      {**CHAT, "max_completion_tokens": True}),
    "temperature_string": ("temperature", "invalid_type", {**CHAT, "temperature": "0"}),
    "temperature_beyond_a_double": ("temperature", "invalid_value", with_member('"temperature": 1e999')),
    "n_zero": ("n", "invalid_value", {**CHAT, "n": 0}),
    "n_string": ("n", "invalid_type", {**CHAT, "n": "2"}),
    "n_huge": ("n", "invalid_value", {**CHAT, "n": 1_000_000}),
}


def error_of(gw, backend, body, status=400) -> dict:
    before = backend.connections
    answer = gw.request("POST", "/v1/chat/completions", body)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert set(answer.json) == {"error"}
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert backend.connections == before and not backend.chats
    return error


@pytest.mark.parametrize("row", NOT_JSON)
def test_what_is_not_strict_json_is_refused_with_its_place(row, gw, backend):
    error = error_of(gw, backend, NOT_JSON[row])
    assert error["code"] == "invalid_json"
    assert error["param"] is None
    assert row == "empty" or " at byte " in error["message"]


@pytest.mark.parametrize("body, at", [(b"hello", 0), (b'{"model": "m", }', 15), (b'{"model": "m"', 13),
                                      (GOOD.encode() + b"x", len(GOOD)), (b"\xef\xbb\xbf{}", 0),
                                      (b'{"a": 1, "a": 2}', 9), (b'{"a": "\xff"}', 7)])
def test_the_place_is_the_byte_of_the_fault(body, at, gw, backend):
    assert f" at byte {at}" in error_of(gw, backend, body)["message"] + " "


@pytest.mark.parametrize("row", WRONG)
def test_a_member_of_a_wrong_kind_is_refused_by_its_name(row, gw, backend):
    param, code, body = WRONG[row]
    error = error_of(gw, backend, body.encode() if isinstance(body, str) else body)
    assert error["param"] == param
    assert error["code"] == code
    assert param is None or param in error["message"]


def test_an_unknown_model_is_refused_with_the_names_there_are(gw, backend):
    error = error_of(gw, backend, {**CHAT, "model": "gpt-9"}, 404)
    assert error["code"] == "model_not_found" and error["param"] == "model"
    assert "gpt-9" in error["message"] and "'m'" in error["message"]


@pytest.mark.parametrize("name", ["M", "m ", "up-a", "../m", "m\0", 'a"b\\c\r\nX: y', "é" * 5000])
def test_a_model_is_found_by_its_exact_name_only(name, gw, backend):
    assert error_of(gw, backend, {**CHAT, "model": name}, 404)["code"] == "model_not_found"


def test_after_all_of_this_the_backend_is_well(gw):
    assert gw.state("a") == "HEALTHY"
    assert gw.request("GET", "/health").status == 200


# --- what must pass ---

FINE = {
    "depth_128": nested(128),
    "white_space_around": " \t\r\n" + GOOD + "\r\n\t ",
    "key_twice_further_down": with_member('"x": {"a": 1, "a": 2}'),
    "large_numbers": with_member('"seed": 123456789012345678901234567890, "x": 1e999'),
    "nul_escaped": with_member('"x": "a\\u0000b"'),
    "surrogate_pair": with_member('"x": "\\ud83d\\ude00"'),
    "model_by_escapes": GOOD.replace('"m"', '"\\u006d"'),
    "members_null": with_member('"stream": null, "max_tokens": null, "temperature": null, "n": null'),
    "empty_key": with_member('"": 1'),
    "content_null": '{"model": "m", "messages": [{"role": "assistant", "content": null}]}',
}


@pytest.mark.parametrize("row", FINE)
def test_what_is_strict_json_passes(row, llm, gateway):
    a = llm("a")
    gw = gateway(a, streams="{upstream: never}")
    answer = gw.request("POST", "/v1/chat/completions", FINE[row].encode())
    assert answer.status == 200, answer.body
    sent = a.chats[0].json
    assert sent.pop("model") == "up-a"
    wanted = json.loads(FINE[row])
    del wanted["model"]
    assert sent == wanted
