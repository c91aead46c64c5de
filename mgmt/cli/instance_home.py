"""The layout of an instance home: directories, environment scripts, wrappers, start-up script."""

from __future__ import annotations

import shlex
from pathlib import Path

from protocol import instance_file
from protocol.instance_file import InstanceSettings

DIRECTORIES = ("bin", "conf", "diag", "info", "plsql/utl_file_dir", "startup", "grid")
WRAPPED = (
    "ttGridAdmin",
    "ttDaemonAdmin",
    "ttStatus",
    "ttInstanceDestroy",
    "ttGridRollout",
    "ttMembership",
    "ttExporter",
)

_SH = """\
# Source this file: it makes this instance the one that TimesTen commands work on.
TIMESTEN_HOME={home}
export TIMESTEN_HOME
case ":$PATH:" in
  *:"$TIMESTEN_HOME/bin":*) ;;
  *) PATH="$TIMESTEN_HOME/bin:$TIMESTEN_HOME/install/bin:$PATH"; export PATH ;;
esac
"""
_CSH = """\
# Source this file: it makes this instance the one that TimesTen commands work on.
setenv TIMESTEN_HOME {home}
setenv PATH "$TIMESTEN_HOME/bin:$TIMESTEN_HOME/install/bin:$PATH"
"""
_ENV = """\
#!/bin/sh
# Run one command in the environment of this instance: ttenv ttGridAdmin hostList
. {home}/bin/ttenv.sh
exec "$@"
"""
_WRAPPER = """\
#!/bin/sh
TIMESTEN_HOME={home}
export TIMESTEN_HOME
exec "$TIMESTEN_HOME/install/bin/{program}" "$@"
"""
_STARTUP = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          tt_{name}
# Required-Start:    $network $local_fs
# Required-Stop:     $network $local_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: TenGrid instance {name}
### END INIT INFO
case "$1" in
  start|stop|restart) exec su {user} -c {command}" -$1" ;;
  force-reload) exec su {user} -c {command}" -restart" ;;
  status)
    if pid=$(cat {home}/info/daemon.pid 2>/dev/null) && kill -0 "$pid" 2>/dev/null; then
      echo "Instance {name} runs (PID: $pid)."
    else
      echo "Instance {name} does not run."; exit 3
    fi ;;
  *) echo "Usage: $0 start|stop|restart|status"; exit 2 ;;
esac
"""
_SETUPROOT = """\
#!/bin/sh
# Install or uninstall the start-up script of this instance (as root).
script=/etc/init.d/tt_{name}
if [ "$(id -u)" != 0 ]; then echo "setuproot must be run as root" >&2; exit 1; fi
if [ -e "$script" ] && ! cmp -s {home}/startup/tt_{name} "$script"; then
  echo "$script belongs to another instance {name}: nothing is changed" >&2; exit 1
fi
case "$1" in
  -install)
    cp {home}/startup/tt_{name} "$script" && chmod 755 "$script" || exit 1
    if command -v update-rc.d >/dev/null; then update-rc.d "tt_{name}" defaults
    elif command -v chkconfig >/dev/null; then chkconfig --add "tt_{name}"; fi
    echo "Installed $script" ;;
  -uninstall)
    if command -v update-rc.d >/dev/null; then rm -f "$script"; update-rc.d "tt_{name}" remove
    elif command -v chkconfig >/dev/null; then chkconfig --del "tt_{name}"; rm -f "$script"
    else rm -f "$script"; fi
    echo "Removed $script" ;;
  *) echo "Usage: setuproot -install | -uninstall"; exit 2 ;;
esac
"""


def create(settings: InstanceSettings, *, short_name: str, user: str) -> None:
    """Make the home of an instance. Raises OSError; the caller removes what is half made."""
    home = Path(settings.home)
    for directory in DIRECTORIES:
        (home / directory).mkdir(parents=True, exist_ok=True)
    for private in ("conf", "info"):
        (home / private).chmod(0o700)
    (home / "install").symlink_to(settings.installation)
    quoted = shlex.quote(settings.home)
    _write(home / "bin/ttenv.sh", _SH.format(home=quoted))
    _write(home / "bin/ttenv.csh", _CSH.format(home=quoted))
    _write(home / "bin/ttenv", _ENV.format(home=quoted), 0o755)
    for program in WRAPPED:
        _write(home / "bin" / program, _WRAPPER.format(home=quoted, program=program), 0o755)
    command = shlex.quote(f"{settings.home}/bin/ttDaemonAdmin")
    startup = _STARTUP.format(name=short_name, user=shlex.quote(user), command=command, home=quoted)
    _write(home / f"startup/tt_{short_name}", startup, 0o755)
    _write(home / "bin/setuproot", _SETUPROOT.format(name=short_name, home=quoted), 0o755)
    _write(home / instance_file.INSTANCE_FILE, instance_file.render(settings))


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
