"""The machine this runs on: for `grounder doctor`, and for what is measured here."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path("/")
INSTRUCTIONS = {
    **{name: name for name in ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8")},
    **{"asimd": "neon", "asimddp": "neon dot product", "i8mm": "i8mm", "sve": "sve"},
}
"""Flags of /proc/cpuinfo that decide how fast a graph runs, and what to call them."""
JETPACKS = {
    **{"36.3.0": "6.0", "36.4.0": "6.1", "36.4.3": "6.2", "36.4.4": "6.2.1", "36.5.0": "6.2.2"},
    **{"38.2.0": "7.0", "38.2.1": "7.0", "38.4.0": "7.1", "39.2.0": "7.2", "39.2.1": "7.2.1"},
}
"""L4T version -> JetPack, where the package that would tell is not installed."""


@dataclass(frozen=True)
class Machine:
    """The hardware; empty strings and None for what cannot be found out."""

    system: str
    cpu: str
    cores: int
    """Logical CPUs this process may use."""
    instructions: tuple[str, ...]
    memory_mib: int | None
    gpus: tuple[str, ...]
    """NVIDIA's, as nvidia-smi describes them; a Jetson's model."""
    driver: str
    l4t: str
    """Version of Jetson Linux; "" where this is no Jetson."""
    jetpack: str
    power_mode: str

    @property
    def cuda(self) -> int:
        """Newest major version of CUDA that the driver runs."""
        version, first_of_13 = (self.l4t, 38) if self.l4t else (self.driver, 580)
        return 13 if int(version.split(".")[0] or first_of_13) >= first_of_13 else 12


def machine() -> Machine:
    """Look at the hardware. Raises nothing."""
    cpu = read("proc/cpuinfo")
    flags = first(r"^(?:flags|Features)\s*: (.+)$", cpu).split()
    memory = first(r"^MemTotal:\s*(\d+) kB", read("proc/meminfo"))
    release = re.search(r"R(\d+) .*REVISION: ([\d.]+)", read("etc/nv_tegra_release"))
    l4t = ".".join(release.groups()) if release else ""
    jetpack = _output("dpkg-query", "-W", "-f", "${Version}", "nvidia-jetpack") if l4t else ""
    query = "--query-gpu=name,memory.total,compute_cap,driver_version"
    gpus = _output("nvidia-smi", query, "--format=csv,noheader").splitlines()
    if l4t:
        gpus = [read("proc/device-tree/model").strip("\0\n ") or "Jetson"]
    driver = first(r"Kernel Module.*?\s(\d+\.[\d.]+)", read("proc/driver/nvidia/version"))
    affinity = getattr(os, "sched_getaffinity", None)
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cpu=first(r"^model name\s*: (.+)$", cpu)
        or first(r"^Model name:\s*(.+)$", _output("lscpu"))
        or platform.processor(),
        cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
        instructions=tuple(name for flag, name in INSTRUCTIONS.items() if flag in flags),
        memory_mib=int(memory) // 1024 if memory else None,
        gpus=tuple(gpus),
        driver=driver or (gpus[0].rpartition(", ")[2] if gpus and not l4t else ""),
        l4t=l4t,
        jetpack=jetpack.partition("+")[0] or JETPACKS.get(l4t, ""),
        power_mode=first(r"NV Power Mode: *(.+)$", _output("nvpmodel", "-q")),
    )


def first(pattern: str, text: str) -> str:
    """The group of the first line that has one, "" when none has."""
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else ""


def read(path: str) -> str:
    """A file of the system, by its path below `ROOT`; "" when it cannot be read."""
    try:
        return (ROOT / path).read_text(errors="replace")
    except OSError:
        return ""


def exists(pattern: str) -> bool:
    """Whether a file of the system has such a path below `ROOT`."""
    return any(ROOT.glob(pattern))


def installed(wheels: Sequence[str]) -> dict[str, str]:
    """Versions of those wheels that are installed; what apt brings is often not among them."""
    versions = {}
    for name in wheels:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _output(*command: str) -> str:
    """What a command prints; "" when it is not there, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace").strip()
