"""One line for each decision, with its reason; bodies and keys never."""

import json
import shlex
import subprocess

import pytest
from fake_llm import answers, replies, resets
from gateway import BINARY, wait_until

SECRET = "sk-a-secret-that-must-not-be-logged"


def fields(line: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in shlex.split(line.replace("\\", "\\\\")))


def test_a_failed_attempt_is_one_line_with_reason_and_what_is_done(llm, gateway):
    gw = gateway(llm("a", chat=replies(503)), llm("b", chat=answers("x")))
    gw.chat()
    line = fields(wait_until(lambda: gw.logged("attempt failed"))[0])
    assert line["backend"] == "a" and line["reason"] == "http_503" and line["then"] == "next backend"
    change = fields(wait_until(lambda: gw.logged("changed state"))[0])
    assert change["from"] == "HEALTHY" and change["to"] == "DOWN" and "http_503" in change["reason"]


def test_json_lines_are_json(llm, gateway):
    gw = gateway(llm("a", chat=resets()), log="{level: debug, format: json}")
    gw.chat()
    wait_until(lambda: gw.logged("exchange failed"))
    for line in list(gw.lines):
        assert {"time", "level", "msg"} <= set(json.loads(line))


def test_neither_bodies_nor_keys_are_logged(llm, gateway):
    gw = gateway(llm("a", chat=replies(500, {"error": {"message": "the-backend-said-this"}})),
                 keys=f"[{{name: web, key: {SECRET}}}]", backend_extra={"a": f"api_key: {SECRET}2"})
    gw.chat("the-prompt-of-the-user", headers={"Authorization": f"Bearer {SECRET}"})
    gw.chat("x", headers={"Authorization": "Bearer wrong-" + SECRET})
    wait_until(lambda: gw.logged("exchange failed"))
    text = "\n".join(gw.lines)
    assert SECRET not in text and "the-prompt-of-the-user" not in text and "the-backend-said-this" not in text


def test_a_name_cannot_forge_a_field(llm, gateway):
    a = llm("a", chat=replies(503))
    gw = gateway(config=f"""
listen: 127.0.0.1:0
admin: 127.0.0.1:0
backends: {{a: {{type: vllm, url: '{a.url}'}}}}
models: {{'m" level=error x="': {{aliases: ["*"], tiers: [a: x]}}}}
""")
    gw.chat()
    line = wait_until(lambda: gw.logged("exchange failed"))[0]
    assert r'model="m\" level=error x=\""' in line


@pytest.mark.parametrize("value, code", [("xml", 2)])
def test_the_format_of_the_command_line_is_judged(value, code, llm, tmp_path):
    a = llm("a")
    file = tmp_path / "f.yaml"
    file.write_text(f"listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nbackends: {{a: {{type: vllm, url: '{a.url}'}}}}\n"
                    "models: {m: {tiers: [a: x]}}\n")
    done = subprocess.run([BINARY, "serve", "-c", file, "--log-format", value], capture_output=True, timeout=10)
    assert done.returncode == code and b"--log-format" in done.stderr


def test_the_command_line_may_ask_for_json(llm, tmp_path):
    a = llm("a")
    file = tmp_path / "f.yaml"
    file.write_text(f"listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nbackends: {{a: {{type: vllm, url: '{a.url}'}}}}\n"
                    "models: {m: {tiers: [a: x]}}\n")
    with subprocess.Popen([BINARY, "serve", "-c", file, "--log-format", "json"], stderr=subprocess.PIPE) as p:
        try:
            while json.loads(p.stderr.readline())["msg"] != "listening":
                pass
        finally:
            p.terminate()
            p.stderr.read()
            assert p.wait(10) == 0
