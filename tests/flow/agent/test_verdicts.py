"""What the agent makes of readings, Xids, silence and hostile text, and what outlives it."""

import json
import os
import subprocess
import time

import pytest
from gateway import BINARY, wait_until

OTHER_BOOT = "99999999-2222-3333-4444-555555555555"


# --- readings ---

def test_heat_comes_and_goes(agent):
    a = agent(nvml={"temp": 88, "throttle": 0x40})
    v = a.wait_state("DEGRADED", "hw_thermal")
    assert v["gpus"][0]["advice"] == "no_promote" and "88 C" in v["why"]
    a.nvml(temp=86)  # no throttling any more, but not 5 degrees below the limit of 90
    a.wait_read(8)
    assert a.get()["state"] == "DEGRADED"
    a.nvml(temp=80)
    a.wait_state("HEALTHY", "ok")


def test_heat_that_flashes_is_no_heat(agent):
    a = agent(interval="500ms")
    a.wait_read()
    a.nvml(throttle=0x40)
    wait_until(lambda: a.gpu()["throttle"]["reasons"] == 0x40)
    a.nvml()
    a.wait_read(5)
    assert a.get()["seq"] == a.get()["seq"] and a.get()["state"] == "HEALTHY"


def test_time_counters_tell_what_no_bit_shows(agent):
    a = agent(nvml={"field269": 0, "field270": 0})
    a.wait_read()
    ns = 0

    def hot():
        nonlocal ns
        ns += 40_000_000  # of an interval of 50 ms
        a.nvml(field269=0, field270=ns)
        return a.get()["reason"] == "hw_thermal"
    wait_until(hot)


@pytest.mark.parametrize(("keys", "state", "reason"), [
    ({"temp": 93}, "DOWN", "near_shutdown_temperature"),
    ({"margin": -6, "field193": -8}, "DOWN", "near_shutdown_temperature"),
    ({"throttle": 0x80}, "DEGRADED", "power_brake"), ({"throttle": 0x20}, "DEGRADED", "sw_thermal"),
    ({"field82": 106}, "DEGRADED", "memory_hot"), ({"rows_pending": 1}, "DEGRADED", "maintenance"),
    ({"rows_failed": 1}, "DOWN", "memory_worn"), ({"field29": 60, "field30": 3}, "DOWN", "memory_worn"),
    ({"field230": 1}, "DOWN", "reset_required"), ({"field230": 2}, "DOWN", "reboot_required"),
    ({"field230": 3}, "DEGRADED", "fabric"), ({"field230": 9}, "DEGRADED", "fabric"),
    ({"nvmlDeviceGetTemperatureV.ret": 15}, "DOWN", "gpu_lost"),
    ({"nvmlDeviceGetMemoryInfo_v2.ret": 16}, "DOWN", "reset_required"),
    ({"nvmlDeviceGetPowerUsage.ret": 888}, "DOWN", "reset_required"),  # a newer code, known by its words
    ({"nvmlDeviceGetHandleByIndex_v2.ret": 15}, "DOWN", "gpu_lost"),
    ({"nvmlDeviceGetHandleByIndex_v2.ret": 999}, "DOWN", "gpu_lost"),
    ({"throttle": 0x107}, "HEALTHY", "ok"), ({"memory_used": 79 << 30}, "HEALTHY", "ok"),
    ({"ecc_uncorrected": 4}, "HEALTHY", "ok")])  # there before the agent was
def test_one_row_of_the_decision_table(agent, keys, state, reason):
    a = agent(start=False, nvml=keys)
    a.device()
    a.start()
    a.wait_state(state, reason)
    a.wait_read(8)
    assert (a.get()["state"], a.get()["reason"]) == (state, reason)


def test_an_uncorrected_error_that_no_xid_explains_is_down_until_a_reset(agent):
    a = agent(nvml={"ecc_uncorrected": 4})
    a.wait_read()
    a.nvml(ecc_uncorrected=5)
    a.wait_state("DOWN", "uncorrected_ecc")
    a.nvml(ecc_uncorrected=0)  # counters begin anew
    a.wait_state("HEALTHY")


def test_an_uncorrected_error_with_its_xid_is_what_the_xid_says(agent):
    a = agent(nvml={"ecc_uncorrected": 0, "pids": "7:1"}, thresholds={"ecc_grace": "2s"})
    a.wait_read()
    a.xid(94, ", pid=7, name=python3, Contained: SM (0x1). RST: No, D-RST: No")
    a.nvml(ecc_uncorrected=1, pids="7:1")
    a.wait_state("DEGRADED", "app_error")
    wait_until(lambda: a.gpu()["ecc"]["uncorrected"] == 1)
    a.wait_read(5)
    assert a.reasons() == ["app_error"]


def test_a_gpu_that_is_lost_takes_the_other_not_with_it_and_stays_lost(agent):
    a = agent(nvml={"count": 2})
    a.wait_read()
    a.nvml(count=2, **{"gpu1.nvmlDeviceGetTemperatureV.ret": 15})
    v = a.wait_state("DOWN", "gpu_lost")
    assert [g["state"] for g in v["gpus"]] == ["HEALTHY", "DOWN"] and v["gpus"][1]["advice"] == "cut"
    a.nvml(count=2)
    a.wait_read(8)
    assert a.get()["state"] == "DOWN"
    assert a.request("POST", "/clear?gpu=0000:19:00")[0] == 200
    assert a.wait_state("HEALTHY")["gpus"][1]["reason"] == "ok"


def test_gpus_without_a_handle_or_a_name_are_not_forgotten(agent):
    a = agent(nvml={"count": 3, **{f"gpu{i}.nvmlDeviceGetHandleByIndex_v2.ret": 15 for i in (1, 2)}})
    v = a.wait_state("DOWN", "gpu_lost")
    assert [(g["uuid"][:6], g["state"]) for g in v["gpus"]] == [
        ("GPU-00", "HEALTHY"), ("index-", "DOWN"), ("index-", "DOWN")]


def test_a_gpu_that_is_not_ready_at_first_gets_its_name_later(agent):
    a = agent(nvml={"nvmlDeviceGetHandleByIndex_v2.ret": 27})
    wait_until(lambda: [g["uuid"] for g in a.get()["gpus"]] == ["index-0"])
    a.nvml()
    wait_until(lambda: [g["bdf"] for g in a.get()["gpus"]] == ["0000:18:00"])
    assert a.wait_read()["state"] == "HEALTHY"


@pytest.mark.parametrize(("config", "power", "state"), [
    (b"\xff\xff\xff\xff", "D0\n", "DOWN"), (b"\xff\xff\xff\xff", "D3cold\n", "HEALTHY"), (None, "D0\n", "DOWN")])
def test_the_bus_knows_when_a_gpu_is_gone(agent, config, power, state):
    a = agent(start=False)
    folder = a.device()
    a.start()
    a.wait_read()
    (folder / "power_state").write_text(power)
    if config:
        (folder / "config").write_bytes(config)
    else:
        (folder / "config").unlink()
    a.wait_read(6)
    assert a.get()["state"] == state


# --- Xids ---

@pytest.mark.parametrize(("xid", "rest", "state", "reason"), [
    (48, ", pid=7, name=python3, DBE (double bit error)", "DOWN", "reset_required"),
    (63, ", Row remapping event", "DEGRADED", "maintenance"),
    (64, ", Row remapping failure", "DOWN", "reset_required"),
    (79, ", pid=7, name=python3, GPU has fallen off the bus.", "DOWN", "gpu_lost"),
    (94, ", pid=7, name=python3, Contained: SM (0x1)", "DEGRADED", "app_error"),
    (94, ", Contained: SM (0x1). RST: No, D-RST: No", "DEGRADED", "app_error"),
    (94, ", pid=8, name=other, Contained: SM (0x1)", "HEALTHY", "ok"),  # somebody else's program
    (95, ", Uncontained: FBHUB", "DOWN", "reset_required"),
    (151, ", key rotation", "DOWN", "reboot_required"),
    (149, ", NETIR_LINK_EVT Fatal XC0 i0 Link 08 (0x1 0x2)", "DOWN", "reset_required"),
    (149, ", NETIR_LINK_EVT Nonfatal XC0 i0 Link 08 (0x1 0x2)", "DEGRADED", "xid"),
    (154, ", GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)", "DOWN", "reboot_required"),
    (45, ", pid='<unknown>', name=<unknown>, Ch 00000010", "HEALTHY", "ok"),
    (999, ", something new", "DEGRADED", "xid")])
def test_an_xid_in_the_kernels_log(agent, xid, rest, state, reason):
    a = agent(nvml={"pids": "7:1", "rows_pending": 1 if xid == 63 else 0})
    a.wait_read()
    a.xid(xid, rest)
    wait_until(lambda: a.gpu()["xids"])
    a.wait_state(state, reason)
    assert [(x["xid"], x["count"]) for x in a.gpu()["xids"]] == [(xid, 1)]


@pytest.mark.parametrize(("xid", "state"), [(48, "DOWN"), (63, "DEGRADED"), (64, "DOWN"), (79, "DOWN"),
                                             (94, "DEGRADED"), (95, "DOWN")])
@pytest.mark.parametrize("first", ["nvml", "kernel"])
def test_an_xid_from_both_sources_is_one(agent, xid, state, first):
    keys = {"pids": "7:1", "rows_pending": 1 if xid == 63 else 0}
    a = agent(nvml=keys)
    a.wait_read()

    def by_nvml():
        a.nvml(**keys, xid_seq=1, xids=f"0:{xid}")

    def by_kernel():
        a.xid(xid, ", pid=7, name=python3, text")
    for tell in (by_nvml, by_kernel) if first == "nvml" else (by_kernel, by_nvml):
        tell()
        wait_until(lambda: a.gpu()["xids"])
        a.wait_read(4)
    assert [(x["xid"], x["count"], x["pid"]) for x in a.gpu()["xids"]] == [(xid, 1, 7)]
    assert a.get()["state"] == state


def test_a_burst_is_counted_in_full(agent):
    a = agent()
    a.wait_read()
    for _ in range(500):
        a.xid(45, ", pid=7, name=python3, Ch 00000010")
    wait_until(lambda: a.gpu()["xids"] and a.gpu()["xids"][0]["count"] == 500)
    assert a.get()["state"] == "HEALTHY"


def test_the_third_application_error_is_the_gpus_fault(agent):
    a = agent(nvml={"pids": "7:1"})
    a.wait_read()
    for n in range(3):
        assert a.get()["state"] == ("DEGRADED" if n else "HEALTHY")
        a.xid(31, ", pid=7, name=python3, MMU Fault")
        wait_until(lambda n=n: a.gpu()["xids"] and a.gpu()["xids"][0]["count"] == n + 1)
    a.wait_state("DOWN", "repeated_app_errors")


def test_an_application_error_is_over_after_its_time(agent):
    a = agent(nvml={"pids": "7:1"}, thresholds={"app_hold": "300ms"})
    a.wait_read()
    a.xid(31, ", pid=7, name=python3, MMU Fault")
    a.wait_state("DEGRADED", "app_error")
    a.wait_state("HEALTHY")


def test_a_reset_is_seen_and_silence_is_none(agent):
    a = agent(nvml={"field230": 0})
    a.wait_read()
    a.xid(95, ", Uncontained")
    a.wait_state("DOWN", "reset_required")
    a.wait_read(8)  # the driver never asked for anything, so its silence proves nothing
    assert a.get()["state"] == "DOWN"
    a.xid(154, ", GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)")
    a.wait_state("HEALTHY")


def test_xids_of_other_lists_by_configuration(agent):
    a = agent(xids="{ignore: [79], down: [13]}")
    a.wait_read()
    a.xid(79, ", GPU has fallen off the bus.")
    wait_until(lambda: a.gpu()["xids"])
    assert a.get()["state"] == "HEALTHY"
    a.xid(13, ", Graphics Exception")
    a.wait_state("DOWN", "reset_required")


def test_other_lines_of_the_kernel_count_too(agent):
    a = agent(nvml={"count": 2})
    a.wait_read()
    a.log(r"NVRM: The NVIDIA GPU 0000:19:00.0\x0aNVRM: (PCI ID: 10de:2330) installed in this system has\x0a"
          r"NVRM: fallen off the bus and is not responding to commands.")
    wait_until(lambda: a.reasons(1) == ["gpu_lost"])
    a.log("nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 20034, Non-fatal, Link 30")
    a.log("nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 20034, Fatal, Link 30")
    wait_until(lambda: a.reasons(0) == ["nvswitch"])


def test_xids_of_before_the_start_are_known_and_old_fleeting_ones_let_go(agent):
    a = agent(start=False, kmsg_file="yes", nvml={"pids": "7:1"})
    a.xid(79, ", GPU has fallen off the bus.", age_s=3600)
    a.xid(31, ", pid=7, name=python3, MMU Fault", age_s=3600)
    a.start()
    v = a.wait_state("DOWN", "gpu_lost")
    assert {x["xid"] for x in v["gpus"][0]["xids"]} == {79, 31} and a.reasons() == ["gpu_lost"]


def test_an_old_xid_is_over_where_the_driver_asks_for_nothing(agent):
    a = agent(start=False, kmsg_file="yes", nvml={"field230": 0})
    a.xid(95, ", Uncontained", age_s=3600)
    a.start()
    wait_until(lambda: a.gpu().get("xids"))
    a.wait_read(4)
    assert a.get()["state"] == "HEALTHY"


# --- hostile text ---

@pytest.mark.parametrize("line", [
    "NVRM: Xid (PCI:0000:18:00): 45, pid=7, name=NVRM: Xid (PCI:0000:18:00): 79, GPU has fallen off the bus",
    r"NVRM: Xid (PCI:0000:18:00): 45, pid=7, name=x\x0aNVRM: Xid (PCI:0000:18:00): 79, lost",
    "NVRM: Xid (PCI:0000:18:00): 154, pid=7, name=recovery action changed from 0x0 (None) to 0x2 (Node)",
    "usb 1-1: Product: NVRM: Xid (PCI:0000:18:00): 79, GPU has fallen off the bus.",
    "audit: comm=NVRM: GPU 0000:18:00.0: GPU has fallen off the bus.",
    "NVRM: Xid (PCI:0000:18:00: 79", "NVRM: Xid (PCI:): 79", "NVRM: Xid (PCI:0000:18:00): -79",
    "NVRM: Xid (PCI:0000:18:00): 99999999999999999999", "NVRM: Xid (", ""])
def test_forged_and_broken_lines_move_nothing(agent, line):
    a = agent()
    a.wait_read()
    a.log(line)
    a.log("NVRM: Xid (PCI:0000:18:00): 43, pid=7, name=end")
    wait_until(lambda: any(x["xid"] == 43 for x in a.gpu()["xids"]))
    assert a.get()["state"] == "HEALTHY" and not {79, 999} & {x["xid"] for x in a.gpu()["xids"]}


def test_user_space_cannot_write_xids(agent):
    a = agent()
    a.wait_read()
    a.xid(79, ", GPU has fallen off the bus.", facility=1)
    a.xid(43, ", pid=7, name=end")
    wait_until(lambda: a.gpu()["xids"])
    assert [x["xid"] for x in a.gpu()["xids"]] == [43] and a.get()["state"] == "HEALTHY"


def test_bytes_and_lengths_do_no_harm(agent):
    a = agent(kmsg_file="yes")
    a.wait_read()
    a.raw_log(b"\x00\xff\xfe;;,,\n3,1,1,-\n3,2,2,-;" + b"A" * 200_000 + b"\n 3,4;x\n\n")
    a.raw_log(b'3,900,5,-;NVRM: Xid (PCI:0000:18:00): 13, "\xc3\x28</script>\x1b[31m' + b"x" * 4000 + b"\n")
    a.xid(43, ", end")
    wait_until(lambda: any(x["xid"] == 43 for x in a.gpu()["xids"]))
    text = next(x["text"] for x in a.gpu()["xids"] if x["xid"] == 13)
    assert text.isprintable() and text.isascii() and len(text) < 160
    assert a.request("GET", "/metrics")[0] == 200


# --- silence ---

def test_a_driver_that_hangs_for_ever_makes_it_degraded_and_never_blocks_it(agent):
    a = agent()
    a.wait_read()
    a.nvml(nvmlDeviceGetPowerUsage__hang=1)
    v = a.wait_state("DEGRADED", "driver_late")
    assert v["late"] and v["gpus"][0]["advice"] == "no_promote" and v["gpu"] == "nvidia"
    pid = a.get()["agent"]["probe_pid"]
    wait_until(lambda: a.get()["agent"]["probe_stuck"], what="it is left alone")
    began = time.monotonic()
    v = a.get()
    print(f"answer while the driver hangs: {(time.monotonic() - began) * 1000:.1f} ms")
    assert v["agent"]["probe_pid"] == pid and v["agent"]["probe_starts"] == 1 and v["agent"]["probes_abandoned"] == 1
    assert os.path.exists(f"/proc/{pid}")  # nothing was killed
    a.xid(79, ", lost")  # the kernel's log still counts
    a.wait_state("DOWN", "gpu_lost")
    a.request("POST", "/clear?gpu=all")
    a.nvml()  # the driver comes back: the old probe ends, a new one looks
    v = a.wait_state("HEALTHY", "ok")
    assert not v["late"] and v["agent"]["probe_starts"] == 2 and v["agent"]["probe_pid"] != pid


def test_a_gsp_that_is_silent_makes_a_late_driver_down(agent):
    a = agent()
    a.wait_read()
    a.nvml(nvmlDeviceGetPowerUsage__hang=1)
    a.wait_state("DEGRADED", "driver_late")
    a.log("NVRM: GPU0 _kgspRpcRecvPoll: Timeout after 45s of waiting for RPC response from GPU0 GSP! "
          "Expected function 76 (GSP_RM_CONTROL)")
    a.wait_state("DOWN", "driver_hung")
    a.nvml()
    a.wait_state("HEALTHY", "ok")


def test_an_answer_that_is_late_once_is_late_and_no_more(agent):
    a = agent()
    a.wait_read()
    a.nvml(nvmlDeviceGetPowerUsage__delay_ms=1500)
    wait_until(lambda: a.get()["late"])
    a.nvml()
    wait_until(lambda: not a.get()["late"])
    a.wait_state("HEALTHY")


def test_an_init_that_hangs_is_late_and_is_told_so(agent):
    a = agent(nvml={"nvmlInit_v2__hang": 1})
    v = wait_until(lambda: (v := a.get())["late"] and v)
    assert v["gpu"] == "blind" and v["gpus"] == []
    wait_until(lambda: a.get()["agent"]["probe_stuck"])
    a.nvml()
    wait_until(lambda: a.get()["gpu"] == "nvidia")


def test_it_ends_at_once_with_a_probe_that_never_will(agent):
    a = agent()
    a.wait_read()
    a.nvml(nvmlDeviceGetPowerUsage__hang=1)
    wait_until(lambda: a.get()["late"])
    began = time.monotonic()
    a.stop()
    assert time.monotonic() - began < 10


def test_a_probe_that_dies_is_replaced(agent):
    a = agent()
    a.wait_read()
    pid = a.get()["agent"]["probe_pid"]
    os.kill(pid, 9)
    v = wait_until(lambda: (v := a.get())["agent"]["probe_starts"] == 2 and v["gpu"] == "nvidia" and v)
    assert v["agent"]["probe_pid"] != pid and v["state"] == "HEALTHY"


# --- what outlives it ---

def test_a_latch_survives_a_restart_and_ends_with_the_boot(agent):
    a = agent(nvml={"count": 2})
    a.wait_read()
    a.xid(79, ", GPU has fallen off the bus.", gpu=1)
    since = a.wait_state("DOWN", "gpu_lost")["gpus"][1]["since"]
    a.restart()
    v = a.wait_read()
    assert [g["reason"] for g in v["gpus"]] == ["ok", "gpu_lost"]
    assert v["gpus"][1]["since"][:18] == since[:18] and v["gpus"][1]["xids"][0]["xid"] == 79
    a.stop()
    a.boot(OTHER_BOOT)
    a.start()
    a.wait_read()
    assert [g["state"] for g in a.get()["gpus"]] == ["HEALTHY", "HEALTHY"]


def test_a_record_is_not_taken_twice_over_a_restart(agent):
    a = agent(kmsg_file="yes")
    a.wait_read()
    a.xid(13, ", Graphics Exception")
    wait_until(lambda: a.gpu()["xids"])
    a.restart()
    a.wait_read()
    assert [(x["xid"], x["count"]) for x in a.gpu()["xids"]] == [(13, 1)]


def test_what_happened_while_it_was_away_is_seen(agent):
    a = agent(kmsg_file="yes", nvml={"ecc_uncorrected": 1})
    a.wait_read()
    a.xid(43, ", end")
    wait_until(lambda: a.gpu()["xids"])
    a.stop()
    a.xid(95, ", Uncontained")
    a.start()
    a.wait_state("DOWN", "reset_required")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version":1}', b'{"version":1,"boot_id":7,"gpus":3}',
                                     b"\xff" * 300_000])
def test_a_broken_state_file_is_begun_anew(agent, content):
    a = agent(start=False)
    a.state_file.write_bytes(content)
    a.start()
    a.wait_read()
    a.xid(79, ", lost")
    a.wait_state("DOWN", "gpu_lost")
    wait_until(lambda: b"gpu_lost" in a.state_file.read_bytes())
    assert json.loads(a.state_file.read_bytes())["gpus"][0]["ailments"][0]["word"] == "gpu_lost"


def test_a_state_file_that_cannot_be_written_is_said_once(agent):
    a = agent(state="/nonexistent/agent.json")
    a.wait_read(5)
    a.xid(79, ", lost")
    a.wait_state("DOWN")
    a.wait_read(5)
    assert len([line for line in a.lines if "state file cannot be written" in line]) == 1


def test_the_probe_ends_when_the_agent_is_killed(agent):
    a = agent()
    a.wait_read()
    pid = a.get()["agent"]["probe_pid"]
    a.expected_code = -9
    a.process.kill()
    a.process.wait()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))


def test_the_probe_command_alone_is_a_mistake():
    assert subprocess.run([BINARY, "agent-probe"], timeout=10, check=False).returncode == 2
