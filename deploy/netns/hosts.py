"""Hosts as namespaces: each has its own network, mounts, host name and processes.

A host is one process (`init.sh`, the first of its process namespace) and all that runs below it:
killing it is a power cut. Two bridges in one more namespace are the internal and the external
network. Nothing is changed in the machine's own network, and all of it is gone with the processes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.netns.plan import EXTERNAL, INTERNAL, ROOT, Lab, address_of, card_of
from protocol.errors import OperationError

INIT = Path(__file__).with_name("init.sh")
SWITCH = "switch"
NETWORKS = {INTERNAL: ("br-int", "int0"), EXTERNAL: ("br-ext", "ext0")}
START_TIMEOUT_S = 30.0
POLL_S = 0.05
TOOLS = ("unshare", "nsenter", "ip", "mount", "ssh-keygen", "bash", "java")
PID_FILE = "init.pid"
MADE_ROOT = "made-root"  # a mark: the mount point was not there before


def missing() -> list[str]:
    """What this machine lacks, in words."""
    lacks = [f"the program {tool}" for tool in TOOLS if shutil.which(tool) is None]
    if shutil.which("sshd") is None and not Path("/usr/sbin/sshd").exists():
        lacks.append("sshd (Debian: openssh-server)")
    if os.geteuid() != 0:
        lacks.append("root's rights")
    return lacks


def prepare(lab: Lab) -> None:
    """Keys, and files that all hosts share; hosts that are added later get them too."""
    ssh = lab.folder / "ssh"
    ssh.mkdir(parents=True, exist_ok=True)
    ssh.chmod(0o700)
    if not (ssh / "id_ed25519").exists():
        _keygen(ssh / "id_ed25519", "administrator")
        shutil.copy(ssh / "id_ed25519.pub", ssh / "authorized_keys")
    (ssh / "config").write_text(lab.ssh_config())
    (lab.folder / "hosts").write_text(lab.hosts_file())
    known = []
    for name in lab.names():
        folder = lab.host_folder(name)
        (folder / "grid").mkdir(parents=True, exist_ok=True)
        if address := address_of(name, INTERNAL):
            key = folder / "ssh_host_ed25519_key"
            if not key.exists():
                _keygen(key, name)
            (folder / "sshd_config").write_text(lab.sshd_config(name))
            public = key.with_suffix(".pub").read_text().strip()
            known.append(f"{address},int-{name} {public}\n")
    (ssh / "known_hosts").write_text("".join(known))
    if not Path(ROOT).exists():
        Path(ROOT).mkdir()
        (lab.folder / MADE_ROOT).touch()


def _keygen(path: Path, comment: str) -> None:
    _call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))


# -- life of the namespaces -----------------------------------------------------------------------
def start_switch(lab: Lab) -> None:
    """The two networks."""
    if pid_of(lab, SWITCH):
        return
    folder = lab.folder / SWITCH
    folder.mkdir(parents=True, exist_ok=True)
    words = ["unshare", "--net", sys.executable, "-c", "import signal; signal.pause()", SWITCH]
    _detached(words, folder)
    _until(lambda: _in_network(lab, SWITCH, "true", check=False) == 0, "the switch")
    for bridge, _ in NETWORKS.values():
        _in_network(lab, SWITCH, "ip", "link", "add", "name", bridge, "type", "bridge")
        _in_network(lab, SWITCH, "ip", "link", "set", bridge, "up")


def start_host(lab: Lab, name: str, *, with_software: bool = False) -> None:
    """Power on; nothing happens if it runs. with_software: the installation is there, read-only."""
    if pid_of(lab, name):
        return
    folder = lab.host_folder(name)
    for mark in ("namespaces", "network", "up"):
        (folder / mark).unlink(missing_ok=True)
    software = next(lab.software.glob("tengrid-*"), lab.software)
    if with_software:
        (folder / "grid" / software.name).mkdir(exist_ok=True)
    words = ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
    words += ["--mount-proc", str(INIT), name, str(folder), str(lab.folder)]
    words += [str(software) if with_software else ""]
    _detached(words, folder)
    _until((folder / "namespaces").exists, name)
    _connect(lab, name)
    (folder / "network").touch()
    _until((folder / "up").exists, name)


def learn(lab: Lab, name: str) -> None:
    """Tell a host that runs of new ones: /etc/hosts is shared, known_hosts is its own."""
    known = (lab.folder / "ssh" / "known_hosts").read_bytes()
    words = command(lab, name, ["sh", "-c", "cat >/root/.ssh/known_hosts"])
    subprocess.run(words, input=known, check=True)


def _connect(lab: Lab, name: str) -> None:
    pid = first_process(lab, name)
    for network, (bridge, device) in NETWORKS.items():
        address = address_of(name, network)
        if not address:
            continue
        port = f"{device[0]}-{name}"[:15]
        add = ("ip", "link", "add", "name", port, "type", "veth", "peer", "name", device)
        _in_network(lab, SWITCH, *add, "netns", f"/proc/{pid}/ns/net")
        _in_network(lab, SWITCH, "ip", "link", "set", port, "master", bridge, "up")
        inside = ("nsenter", f"--net=/proc/{pid}/ns/net")
        # the card stays the same when the power comes back: neighbours remember its address
        _call(*inside, "ip", "link", "set", device, "address", card_of(address))
        _call(*inside, "ip", "addr", "add", f"{address}/24", "dev", device)
        _call(*inside, "ip", "link", "set", device, "up")


def power_off(lab: Lab, name: str) -> None:
    """All processes of a host end at once; its files stay."""
    pid = pid_of(lab, name)
    if pid:
        inner = first_process(lab, name)
        for victim in (inner, pid):
            _kill(victim)
        _until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), f"the end of {name}")
    (lab.folder / name / PID_FILE).unlink(missing_ok=True)


def set_link(lab: Lab, name: str, network: str, *, up: bool) -> None:
    """Pull or put back a host's cable to a network."""
    device = NETWORKS[network][1]
    _in_network(
        lab, SWITCH, "ip", "link", "set", f"{device[0]}-{name}"[:15], "up" if up else "down"
    )


def stop_all(lab: Lab) -> None:
    """Everything that runs, the networks included."""
    for folder in sorted(lab.folder.iterdir()) if lab.folder.exists() else ():
        if (folder / PID_FILE).exists() and folder.name != SWITCH:
            power_off(lab, folder.name)
    pid = pid_of(lab, SWITCH)
    if pid:
        _kill(pid)
    (lab.folder / SWITCH / PID_FILE).unlink(missing_ok=True)


def remove(lab: Lab) -> None:
    """Delete all files of a lab that does not run."""
    if (lab.folder / MADE_ROOT).exists():
        with contextlib.suppress(OSError):
            Path(ROOT).rmdir()
    if (lab.folder / "hosts").exists():
        shutil.rmtree(lab.folder)


# -- work in a host -------------------------------------------------------------------------------
def command(lab: Lab, name: str, words: Sequence[str]) -> list[str]:
    """The words with which this machine runs something in a host, as root there."""
    pid = first_process(lab, name)
    if not pid:
        raise OperationError(f"{name} does not run", hint="make netns-up starts it.")
    enter = ["nsenter", "--target", str(pid), "--net", "--mount", "--uts", "--ipc", "--pid"]
    settings = ["env", "-i", "-C", "/", "HOME=/root", "USER=root", "LOGNAME=root", "LANG=C.UTF-8"]
    settings += ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    settings += [f"TERM={os.environ.get('TERM', 'dumb')}"]
    return [*enter, *settings, *words]


def run(lab: Lab, name: str, *words: str, timeout_s: float = 600) -> str:
    """Run a command in a host. Raises OperationError with its output."""
    done = subprocess.run(
        command(lab, name, words),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        output = (done.stdout + done.stderr).strip()
        raise OperationError(
            f"{name}: {' '.join(words)} ended with code {done.returncode}:\n{output}"
        )
    return done.stdout


def pid_of(lab: Lab, name: str) -> int:
    """The process on this machine that a host stands or falls with; 0 if it does not run."""
    try:
        pid = int((lab.folder / name / PID_FILE).read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return 0
    return pid if name.encode() in words and not _is_zombie(pid) else 0


def first_process(lab: Lab, name: str) -> int:
    """Of a host's process namespace, by its number on this machine; of the switch itself."""
    pid = pid_of(lab, name)
    if not pid or name == SWITCH:
        return pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return int(children[0]) if children else 0


def _in_network(lab: Lab, name: str, *words: str, check: bool = True) -> int:
    full = ["nsenter", f"--net=/proc/{first_process(lab, name)}/ns/net", *words]
    done = subprocess.run(full, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise OperationError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.returncode


def _detached(words: Sequence[str], folder: Path) -> None:
    with (folder / "init.log").open("ab") as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    (folder / PID_FILE).write_text(str(process.pid))


def _until(condition: object, what: str) -> None:
    assert callable(condition)
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise OperationError(
                f"{what} did not come within {START_TIMEOUT_S:.0f} s", hint="See its init.log."
            )
        time.sleep(POLL_S)


def _is_zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return True
    return stat.rsplit(")", 1)[1].split()[0] == "Z"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _call(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OperationError(f"{' '.join(words)}: {(done.stdout + done.stderr).strip()}")
    return done.stdout
