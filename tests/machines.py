"""A cloud that is a folder: its machines are home folders, in which commands do run."""

import contextlib
import os
import re
import signal
import time

from launching import Stage

# Keeps the state of one queued resource and runs what `ssh` and `scp` are given. The
# next line of faults/VERB says how a call fails: `CODE`, without any effect; `after
# CODE`, with all of it; `half CODE`, on the first machine only; `hang`; `silent`,
# without an effect or a word.
GCLOUD = r"""#!/usr/bin/env bash
printf '%s\n' gcloud "$@" -- >>"$RECORD"
verb=$4 fault=ok code=0 name=$5
queue=$CLOUD/faults/$verb
if [[ -s $queue ]]; then fault=$(head -n 1 "$queue") && sed -i 1d "$queue"; fi
case $fault in
  ok) ;;
  hang) exec /bin/sleep 60 ;;
  silent) exit ;;
  after* | half*) code=${fault#* } ;;
  *) echo "ERROR: the fake says $fault" >&2 && exit "$fault" ;;
esac
for word in "$@"; do
  case $word in
    --command=*) command=${word#*=} ;;
    --worker=0) only=1 ;;
  esac
done
if [[ $fault == half* ]]; then only=1; fi
machines() {
  for ((i = 0; i < ${only:-$MACHINES}; i++)); do echo "$CLOUD/machines/$i"; done
}
reach() { # ssh and scp reach machines that are there
  if [[ $(<"$CLOUD/state") == ACTIVE && -d $CLOUD/machines ]]; then return; fi
  echo "ERROR: no link" >&2 && exit 255
}
case $verb in
  create)
    if [[ -e $CLOUD/state ]]; then echo "ERROR: ALREADY_EXISTS" >&2 && exit 1; fi
    /bin/mkdir -p $(machines)
    echo "${BORN:-WAITING_FOR_RESOURCES}" >"$CLOUD/state"
    ;;
  delete)
    for home in $(machines); do
      kill -KILL -- "-$(cat "$home/ddjax.run/group")" 2>/dev/null
    done
    /bin/rm -rf "$CLOUD/state" "$CLOUD/machines"
    ;;
  describe)
    if [[ ! -e $CLOUD/state ]]; then
      echo "ERROR: (gcloud) NOT_FOUND: Resource was not found" >&2 && exit 1
    fi
    cat "$CLOUD/state"
    if [[ $(<"$CLOUD/state") == WAITING_FOR_RESOURCES ]]; then
      echo ACTIVE >"$CLOUD/state"
    elif [[ $(<"$CLOUD/state") == SUSPENDING ]]; then
      echo SUSPENDED >"$CLOUD/state"
    fi
    ;;
  list)
    node=$(cat "$CLOUD/node" 2>/dev/null || echo READY)
    printf '%s\t%s\n' "$node" "$MACHINES"
    ;;
  ssh)
    reach
    for home in $(machines); do
      (cd "$home" && env -i HOME="$home" PATH="$CLOUD/programs:/usr/bin:/bin" \
        HOSTNAME="host-${home##*/}" CLOUD="$CLOUD" \
        bash -c "$command" 3>&- 4>&-) || code=$?
    done
    ;;
  scp)
    reach
    if [[ $5 == "$NAME":* ]]; then
      cp "$CLOUD/machines/0/${5#*:}" "$6" || code=$?
    else
      for home in $(machines); do cp "$5" "$home/${6#*:}" || code=$?; done
    fi
    ;;
esac
exit "$code"
"""
GIT = r"""#!/usr/bin/env bash
if [[ $* == *rev-parse* ]]; then echo "${COMMIT:-c0ffee}" && exit; fi
printf '%s\n' git "$@" -- >>"$RECORD"
for word in "$@"; do
  if [[ $word == --output=* ]]; then /bin/tar -czf "${word#*=}" launch/worker.sh; fi
done
"""
# A short sleep, and how long it should have been; a command that hangs hangs shortly.
SLEEP = """#!/bin/sh
echo "$1" >>"$CLOUD/slept"
exec /bin/sleep 0.05
"""
TIMEOUT = """#!/bin/sh
limit=$2
if [ "$limit" = 300 ]; then limit=5; fi
shift 2
exec /usr/bin/timeout --foreground "$limit" "$@"
"""
# On the machines: an environment's Python is the program below.
PYTHON3 = r"""#!/usr/bin/env bash
if [[ $* == "-m uv venv"* ]]; then
  mkdir -p .venv/bin && cp "$CLOUD/programs/program" .venv/bin/python
elif [[ $* == "-m uv pip"* ]]; then
  sleep "$(cat "$CLOUD/install_seconds" 2>/dev/null || echo 0)"
fi
"""
# Waits for an order: end.START or end.START.HOST, with an exit code, or `kill`.
PROGRAM = r"""#!/usr/bin/env bash
trap 'echo told; exit 75' TERM
if [[ -e $CLOUD/deaf ]]; then trap '' TERM; fi
echo x >>"$CLOUD/starts.$HOSTNAME"
start=$(wc -l <"$CLOUD/starts.$HOSTNAME")
echo "start $start on $HOSTNAME"
if [[ -e $CLOUD/child ]]; then sleep 600 & fi
if [[ -e $CLOUD/lines ]]; then seq -f "line %.0f" "$(<"$CLOUD/lines")"; fi
printf '<%s>' "$@" && echo
for ((i = 0; i < 1200; i++)); do
  for order in "$CLOUD/end.$start" "$CLOUD/end.$start.$HOSTNAME"; do
    if [[ ! -e $order ]]; then continue; fi
    if [[ $(<"$order") == kill ]]; then kill -KILL $$; fi
    echo "last words of start $start on $HOSTNAME"
    workdir=${!#} && echo done >"${workdir#--workdir=}/report.txt"
    exit "$(<"$order")"
  done
  sleep 0.05
done
"""


class Machines(Stage):
    """A stage whose gcloud commands a folder full of machines."""

    def __init__(self, folder):
        super().__init__(folder)
        self.cloud = folder / "cloud"
        for name in ("faults", "programs", "workdir's $5"):
            (self.cloud / name).mkdir(parents=True)
        self.program("gcloud", GCLOUD)
        self.program("git", GIT)
        self.program("sleep", SLEEP)
        self.program("timeout", TIMEOUT)
        for name, text in (("python3", PYTHON3), ("program", PROGRAM)):
            path = self.cloud / "programs" / name
            path.write_text(text)
            path.chmod(0o755)
        self.results = folder / "results"
        self.variables = {
            "PROJECT": "my-project",
            "ZONE": "us-west4-a",
            "NAME": "digits",
            "ACCELERATOR_TYPE": "v5litepod-16",
            "RUNTIME_VERSION": "v2-alpha-tpuv5-lite",
            "WORKDIR": self.cloud / "workdir's $5",
            "RESULTS": self.results,
            "CLOUD": self.cloud,
            "MACHINES": 2,
        }

    def order(self, start, code, host=""):
        """What the program of a start ends with."""
        path = self.cloud / f"end.{start}{host and '.' + host}"
        path.with_suffix(".new").write_text(f"{code}\n")
        path.with_suffix(".new").rename(path)

    def fault(self, verb, *lines):
        (self.cloud / "faults" / verb).write_text("".join(f"{x}\n" for x in lines))

    def tell(self, name, text):
        (self.cloud / name).write_text(f"{text}\n")

    def starts(self, host="host-0"):
        path = self.cloud / f"starts.{host}"
        return path.read_text().count("x") if path.exists() else 0

    def verbs(self):
        """What gcloud was told so far."""
        return re.findall(
            r"^gcloud\ncompute\ntpus\n.*\n(.*)\n", self.transcript(), re.M
        )

    def log(self):
        """What RESULTS keeps of the logs, in their order."""
        return "".join(path.read_text() for path in sorted(self.results.glob("*.log")))

    def wait_for(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)

    def kill(self, number=signal.SIGKILL):
        """Tells all that runs on the machines, as one that shuts down or is lost."""
        for path in self.cloud.glob("machines/*/ddjax.run/group"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(path.read_text()), number)
