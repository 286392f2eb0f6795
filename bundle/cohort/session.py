"""Ray: on this machine with nothing to set up, or a cluster by its address."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bundle.processors import usable_processors

STORE_BYTES = 80 << 20  # of shared memory, the least that Ray takes: scans never go through it
GPU_SHARE = 0.25  # of a worker: most of a pair is computed by processors
WORKER_MEMORY_BYTES = 3 << 30  # 2.5 at the peak for 60 million voxels (docs/scale.md), and the scans of the next pair
KNOCK_S = 10.0
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray would report its use over the internet
    "RAY_worker_niceness": "0",  # Ray's workers would give way to every other process
}
NEEDS_RAY = "scripts.cohort needs Ray: pip install -r requirements-cohort.txt"


@contextmanager
def ray_session(address: str | None, *, processors: int = 0) -> Iterator[None]:
    """Ray for the time of a run; one that is running in this process is used, and left running.

    Args:
        address: of a cluster, such as "auto" or "10.0.0.1:6379"; None for this machine alone.
        processors: of this machine that workers will ask for; all usable ones if they are more.
    Raises: ModuleNotFoundError without Ray; ConnectionError if there is no cluster at the address.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(NEEDS_RAY) from error
    if ray.is_initialized():
        yield
        return
    on_termination = signal.getsignal(signal.SIGTERM)
    if address is None:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # Ray would keep one in the home
        count = max(processors, usable_processors())
        ray.init(
            "local",
            num_cpus=count,
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    else:
        try:
            _knock(address)
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ConnectionError(f"--address {address}: expected a Ray cluster there: {reason}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_termination)  # Ray's own would end the process as a fault
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Look whether Ray answers at host:port: Ray itself would try for many minutes, and then end the process.

    Raises: OSError if nothing listens there, or not Ray.
    """
    place = address.removeprefix("ray://")
    host, separator, port = place.rpartition(":")
    if not (separator and port.isdecimal()):
        return
    socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()
    if os.environ.get("RAY_USE_TLS", "0") not in ("0", ""):  # answers those with its certificates only
        return
    import grpc

    with grpc.insecure_channel(place, [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(KNOCK_S)
        except grpc.FutureTimeoutError as error:
            raise TimeoutError("what listens there does not answer as Ray does") from error


def room_for_workers(threads: int, gpus: float | None) -> tuple[int, float]:
    """How many workers fit on the cluster, at least 1, and the share of a GPU for each.

    Args:
        threads: processors of a worker.
        gpus: share of a GPU; None for `GPU_SHARE` where there are GPUs.
    Raises: ValueError if there is no GPU to share.
    """
    import ray

    there = ray.cluster_resources()
    share = gpus if gpus is not None else (GPU_SHARE if there.get("GPU") else 0.0)
    if share > there.get("GPU", 0.0):
        raise ValueError(
            f"--gpus: expected a share of the {there.get('GPU', 0.0):g} GPUs that Ray finds, got {share:g}"
        )
    room = [there.get("CPU", 1) / threads, there.get("memory", WORKER_MEMORY_BYTES) / WORKER_MEMORY_BYTES]
    room += [there.get("GPU", 0.0) / share] if share else []
    return max(1, int(min(room))), share
