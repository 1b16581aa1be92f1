"""The GPU agent as a whole: what it sees, what it serves, to whom, and what it costs."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest
from gateway import BINARY, SANITIZED, wait_until
from metrics_text import promtool


def uuid(gpu: int) -> str:
    return f"GPU-00000000-0000-0000-0000-{gpu:012d}"


# --- what it sees ---

def test_without_nvidia_software_it_runs_and_says_none(agent):
    a = agent(library="libnvidia-ml-is-not-there.so.1")
    v = a.wait_state("HEALTHY", "no_gpu")
    assert v["gpu"] == "none" and v["gpus"] == [] and "libnvidia-ml-is-not-there" in v["why"]
    assert a.request("GET", "/health")[0] == 200
    wait_until(lambda: a.get()["agent"]["probe_pid"] is None, what="nobody is left to look")
    assert v["agent"]["probe_starts"] == 1


def test_a_gpu_on_the_bus_without_a_driver_is_blind_and_not_none(agent):
    a = agent(library="libnvidia-ml-is-not-there.so.1", start=False)
    a.device()
    a.start()
    assert wait_until(lambda: (v := a.get())["agent"]["probe_pid"] is None and v)["gpu"] == "blind"


@pytest.mark.parametrize("code", [9, 12, 18, 999])
def test_a_driver_that_is_not_there_or_does_not_fit_is_blind(agent, code):
    a = agent(start=False, nvml={"nvmlInit_v2__ret": code})
    a.device()
    a.start()
    v = wait_until(lambda: (v := a.get())["agent"]["probe_pid"] is None and v)
    assert v["gpu"] == "blind" and v["state"] == "HEALTHY" and v["reason"] == "blind"


def test_it_looks_again_for_a_driver_and_finds_it(agent):
    a = agent(start=False, nvml={"nvmlInit_v2__ret": 9}, retry="100ms")
    a.device()
    a.start()
    wait_until(lambda: a.get()["agent"]["probe_starts"] >= 2)
    a.nvml()
    assert wait_until(lambda: (v := a.get())["gpu"] == "nvidia" and v)["driver"] == "550.54.15"


def test_all_that_a_gpu_says_is_reported(agent):
    a = agent(start=False)
    a.nvml(count=2, temp=61, power=350500, energy=77000, util=93, memory_used=4096, ecc_corrected=3,
           rows_corrected=1, field82=70, field94=5, field230=0, field269=1000, field270=0, field271=0, field74=9,
           **{"gpu0.pids": f"{os.getpid()}:1000,77:18446744073709551615"})
    a.start()
    g = a.wait_read()["gpus"][0]
    assert (g["index"], g["uuid"], g["name"], g["bdf"]) == (0, uuid(0), "Fake H100", "0000:18:00")
    assert (g["state"], g["reason"], g["advice"], g["ailments"]) == ("HEALTHY", "ok", "serve", [])
    assert g["temperature"] | {"gpu_c": 61, "memory_c": 70, "slowdown_c": 90, "shutdown_c": 95} == g["temperature"]
    assert g["throttle"]["sw_thermal_ns"] == 1000 and g["throttle"]["shares"]["sw_thermal"] == 0
    assert g["ecc"]["corrected"] == 3 and g["ecc"]["uncorrected"] == 0 and g["rows"]["corrected"] == 1
    assert g["recovery_action"] == 0 and g["xids"] == [] and g["mig"]["mode"] == 0
    assert g["power"] == {"draw_mw": 350500, "limit_mw": 700000} and g["energy"]["total_mj"] == 77000
    assert g["utilisation"] == {"gpu_percent": 93, "memory_percent": 40} and g["pcie"]["replays"] == 5
    assert g["memory"]["used_bytes"] == 4096 and g["memory"]["total_bytes"] == 80 << 30
    assert g["memory"]["processes"] == [{"pid": os.getpid(), "name": "", "bytes": 1000},
                                        {"pid": 77, "name": "", "bytes": None}]
    assert a.get()["gpus"][1]["uuid"] == uuid(1)


def test_processes_have_names_that_cannot_hurt(agent):
    a = agent(start=False, nvml={"pids": "4242:5"})
    comm = a.proc / "4242" / "comm"
    comm.parent.mkdir(parents=True)
    comm.write_bytes(b'ev"il\x1b\xff\n<\n')
    a.start()
    a.wait_read()
    assert a.gpu()["memory"]["processes"] == [{"pid": 4242, "name": 'ev"il???<', "bytes": 5}]


def test_an_old_driver_lacks_things_and_still_serves(agent):
    a = agent(library="old", nvml={"temp": 66, "throttle": 0x40})
    v = a.wait_state("DEGRADED", "hw_thermal")  # by the older name of the symbol
    g = v["gpus"][0]
    assert g["temperature"]["gpu_c"] == 66 and g["mig"]["mode"] is None
    assert g["memory"]["total_bytes"] == 80 << 30 and g["memory"]["reserved_bytes"] is None


def test_where_versioned_structs_are_refused_the_older_calls_serve(agent):
    a = agent(nvml={"temp": 55, "nvmlDeviceGetTemperatureV__ret": 25, "nvmlDeviceGetMemoryInfo_v2__ret": 25})
    g = a.wait_read()["gpus"][0]
    assert g["temperature"]["gpu_c"] == 55
    assert g["memory"]["total_bytes"] == 80 << 30 and g["memory"]["reserved_bytes"] is None


def test_what_is_not_supported_is_null_and_no_alarm(agent):
    a = agent(nvml={"ret": 3, **{f"{f}__ret": 0 for f in (
        "nvmlInit_v2", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID")}})
    g = a.wait_read()["gpus"][0]
    assert g["state"] == "HEALTHY" and g["temperature"]["gpu_c"] is None and g["memory"]["processes"] is None
    assert g["uuid"] == uuid(0) and g["bdf"] is None


def test_mig_slices_are_listed_with_the_gpu_they_are_cut_from(agent):
    a = agent(nvml={"mig": 1, "pids": "5:10"})
    g = a.wait_read()["gpus"][0]
    assert g["mig"]["mode"] == 1 and [s["gpu_instance"] for s in g["mig"]["slices"]] == [5, 7]
    assert g["mig"]["slices"][0]["uuid"].startswith("MIG-") and g["mig"]["slices"][0]["total_bytes"] == 80 << 30
    assert g["utilisation"]["gpu_percent"] is None and len(g["memory"]["processes"]) == 1
    a.log("NVRM: Xid (PCI:0000:18:00 GPU-I:05 GPU-CI:01): 95, pid=5, name=python3, Uncontained")
    a.wait_state("DOWN", "reset_required")  # a reset would take all slices with it
    assert [(x["gpu_instance"], x["compute_instance"]) for x in a.gpu()["xids"]] == [(5, 1)]


# --- a single look ---

def test_once_prints_one_reading_and_is_0_when_nothing_is_down(agent):
    a = agent(start=False, nvml={"temp": 44})
    done = a.once()
    assert done.returncode == 0 and done.stderr == b""
    assert json.loads(done.stdout)["gpus"][0]["temperature"]["gpu_c"] == 44
    assert not a.state_file.exists()


def test_once_is_1_when_a_gpu_is_down_or_does_not_answer(agent):
    a = agent(start=False, nvml={"field230": 1})
    done = a.once()
    assert done.returncode == 1 and json.loads(done.stdout)["reason"] == "reset_required"
    a.nvml(nvmlInit_v2__hang=1)
    done = a.once()
    assert done.returncode == 1 and json.loads(done.stdout)["gpu"] == "blind"


# --- who may ask, and how ---

def test_a_token_is_asked_for_and_health_is_not_secret(agent):
    a = agent(token="correct-horse-battery")
    assert a.request("GET", "/health")[0] == 200
    assert a.request("GET", "/gpu")[0] == 401
    assert a.request("GET", "/metrics", {"authorization": "Bearer wrong"})[0] == 401
    assert a.request("POST", "/clear?gpu=all")[0] == 401
    a.token = "correct-horse-battery"
    assert a.get()["gpu"] in ("nvidia", "blind")
    assert not [line for line in a.lines if "correct-horse" in line]


def test_beyond_loopback_it_does_not_start_without_a_token(agent):
    a = agent(start=False, listen="0.0.0.0:0")
    done = subprocess.run(a.command, env=a.env, capture_output=True, timeout=20)
    assert done.returncode == 78 and b"without 'token' only a loopback address" in done.stderr


def test_without_a_token_other_host_names_and_pages_are_refused(agent):
    a = agent()
    assert a.request("GET", "/gpu", {"host": "evil.example"})[0] == 403
    assert a.request("POST", "/clear?gpu=all", {"origin": "http://evil.example"})[0] == 403


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/nothing", 404), ("POST", "/gpu", 405), ("GET", "/clear", 405), ("POST", "/clear", 404),
    ("POST", "/clear?gpu=GPU-unknown", 404), ("GET", "/gpu?wait=soon", 400), ("GET", "/gpu?after=x", 400)])
def test_what_makes_no_sense_is_refused(agent, method, path, status):
    assert agent().request(method, path)[0] == status


def test_it_speaks_tls(agent, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    a = agent(tls=f"{{cert: {cert}, key: {key}}}")
    conn = http.client.HTTPSConnection("localhost", a.port, timeout=20,
                                       context=ssl.create_default_context(cafile=str(cert)))
    conn.request("GET", "/gpu")
    assert json.loads(conn.getresponse().read())["seq"] > 0
    conn.close()


@pytest.mark.parametrize(("text", "said"), [
    ("nvml: x\n", "unknown key 'nvml'"), ("xids: {down: [94], ignore: [94]}\n", "Xid 94 is listed twice"),
    ("xids: {down: 94}\n", "a list of Xids is wanted"), ("interval: 0\n", "interval"),
    ("thresholds: {samples_bad: 4, samples_of: 3}\n", "samples_bad")])
def test_mistakes_in_the_file_are_78_with_their_place(tmp_path, text, said):
    file = tmp_path / "agent.yaml"
    file.write_text(text)
    done = subprocess.run([BINARY, "agent", "-c", file], capture_output=True, timeout=20, text=True)
    assert done.returncode == 78 and said in done.stderr and f"{file}:1:" in done.stderr


def test_an_address_in_use_is_1(agent):
    a = agent()
    b = agent(start=False, listen=f"127.0.0.1:{a.port}")
    done = subprocess.run(b.command, env=b.env, capture_output=True, timeout=20)
    assert done.returncode == 1 and b"cannot listen" in done.stderr


# --- changes ---

def ask_in_background(a, path):
    answers = []
    thread = threading.Thread(target=lambda: answers.append((a.get(path), time.monotonic())), daemon=True)
    thread.start()
    return thread, answers


def test_a_long_poll_is_answered_by_the_change_and_not_before(agent):
    a = agent()
    a.wait_read()
    seq = a.get()["seq"]
    thread, answers = ask_in_background(a, f"/gpu?wait=30s&after={seq}")
    a.wait_read(3)
    assert not answers
    began = time.monotonic()
    a.xid(79, ", GPU has fallen off the bus.")
    thread.join(10)
    v, at = answers[0]
    assert (v["state"], v["reason"], v["seq"] > seq) == ("DOWN", "gpu_lost", True)
    print(f"long poll: {(at - began) * 1000:.1f} ms after the kernel's line")


def test_a_long_poll_ends_by_itself_and_other_numbers_are_answered_at_once(agent):
    a = agent()
    a.wait_read()
    seq = a.get()["seq"]
    assert a.get(f"/gpu?wait=200ms&after={seq}")["seq"] == seq
    assert a.get("/gpu?wait=30s&after=0")["seq"] == seq
    assert a.get(f"/gpu?wait=30s&after={seq + 50}")["seq"] == seq  # another agent's number


def test_those_who_leave_while_they_wait_and_an_end_meanwhile_do_no_harm(agent):
    a = agent()
    a.wait_read()
    seq = a.get()["seq"]
    request = f"GET /gpu?wait=60s&after={seq} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    socks = [socket.create_connection(("127.0.0.1", a.port)) for _ in range(3)]
    for s in socks:
        s.sendall(request)
    socks[0].close()
    a.wait_read()
    began = time.monotonic()
    a.stop()
    assert time.monotonic() - began < 10
    assert b'"gpus"' in socks[1].recv(65536)
    for s in socks[1:]:
        s.close()


# --- metrics ---

def test_metrics_say_the_same_and_promtool_has_nothing_to_say(agent):
    a = agent(nvml={"count": 2, "gpu1.temp": 71, "field270": 2500000000, "field82": 60, "field94": 1, "pids": "7:99",
                    "field230": 0})
    a.wait_read()
    a.xid(13, ", pid=7, name=python3, Graphics Exception", gpu=1)
    wait_until(lambda: a.reasons(1) == ["app_error"])
    status, body = a.request("GET", "/metrics")
    text = body.decode()
    assert status == 200 and promtool(text) == ""
    for line in (f'fallthrough_gpu_temperature_celsius{{gpu="{uuid(1)}",sensor="gpu"}} 71',
                 f'fallthrough_gpu_state{{gpu="{uuid(1)}",state="DEGRADED"}} 1',
                 f'fallthrough_gpu_state{{gpu="{uuid(0)}",state="HEALTHY"}} 1',
                 f'fallthrough_gpu_ailment{{gpu="{uuid(1)}",reason="app_error"}} 1',
                 f'fallthrough_gpu_xids_total{{gpu="{uuid(1)}",xid="13"}} 1',
                 f'fallthrough_gpu_throttled_seconds_total{{gpu="{uuid(0)}",reason="hw_thermal"}} 2.5',
                 f'fallthrough_gpu_power_watts{{gpu="{uuid(0)}"}} 350.5',
                 f'fallthrough_gpu_process_memory_bytes{{gpu="{uuid(0)}",pid="7"}} 99',
                 'fallthrough_agent_sees{gpu="nvidia"} 1', "fallthrough_agent_late 0"):
        assert line in text.splitlines()


def test_metrics_of_nothing_are_clean_too(agent):
    a = agent(library="libnvidia-ml-is-not-there.so.1")
    a.wait_state("HEALTHY", "no_gpu")
    text = a.request("GET", "/metrics")[1].decode()
    assert promtool(text) == "" and 'fallthrough_agent_sees{gpu="none"} 1' in text


# --- what it costs ---

@pytest.mark.skipif(SANITIZED, reason="sanitizers keep memory and are slow")
def test_it_costs_next_to_nothing(agent):
    a = agent(nvml={"count": 8}, interval="1s", thresholds={"late_after": "5s", "hung_after": "10s",
                                                           "abandon_after": "60s"})
    a.wait_read(1)
    pid = a.get()["agent"]["probe_pid"]
    before, began = (a.cpu_s(), a.cpu_s(pid)), time.monotonic()
    while time.monotonic() - began < 5:
        a.get()  # a gateway asks every 2 s
        time.sleep(2)
    lasted = time.monotonic() - began
    used = [(now - then) / lasted * 100 for now, then in zip((a.cpu_s(), a.cpu_s(pid)), before, strict=True)]
    anon, rss = a.status_of("RssAnon"), a.status_of("VmRSS")
    print(f"agent {used[0]:.2f} %, probe with a fake NVML {used[1]:.2f} % of a core; {rss} kB resident, {anon} kB own")
    assert used[0] < 5 and anon < 10000
