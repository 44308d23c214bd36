"""What the tests of the launchers share: programs that only write down their calls."""

import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).parents[1]
# Writes its arguments down, one a line; says what stands in its queue of answers, and
# ends with the exit code there.
FAKE = r"""#!/usr/bin/env bash
name=${0##*/}
if [[ ${!#} == - ]]; then cat >/dev/null; fi
printf '%s\n' "$name" "$@" -- >>"$RECORD"
queue=$ANSWERS/$name
if [[ ! -s $queue ]]; then exit 0; fi
read -r code text <"$queue"
sed -i 1d "$queue"
echo "$text"
exit "$code"
"""
APPLIED = 'if [[ $1 == apply ]]; then cat >"$APPLIED"; fi\n'
# A process of `local.sh`: does what BEHAVIOUR says for its number, else is done.
FAKE_PYTHON = r"""#!/usr/bin/env bash
echo "$JAX_PROCESS_ID of $JAX_NUM_PROCESSES at $JAX_COORDINATOR_ADDRESS" \
  "with $JAX_NUM_CPU_DEVICES"
printf '<%s>' "$@"
echo
echo "words of $JAX_PROCESS_ID" >&2
trap 'echo told; exit 75' TERM
trap 'echo interrupted; exit 130' INT
echo x >>"$STARTS.$JAX_PROCESS_ID"
for word in $BEHAVIOUR; do
  case $word in
    $JAX_PROCESS_ID:fail) exit 3 ;;
    $JAX_PROCESS_ID:die) kill -KILL $$ ;;
    $JAX_PROCESS_ID:told_once)
      if (($(wc -l <"$STARTS.$JAX_PROCESS_ID") == 1)); then exit 75; fi ;;
    $JAX_PROCESS_ID:deaf) trap '' TERM ;;&
    $JAX_PROCESS_ID:deaf | $JAX_PROCESS_ID:wait)
      for ((i = 0; i < 300; i++)); do sleep 0.1; done ;;
  esac
done
"""


class Stage:
    """A folder whose programs are on the path before all others."""

    def __init__(self, folder):
        self.folder, self.programs = folder, folder / "programs"
        self.answers, self.record = folder / "answers", folder / "record"
        self.programs.mkdir()
        self.answers.mkdir()
        self.record.touch()

    def program(self, name, text=FAKE):
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def environment(self, variables):
        kept = {
            name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ
        }
        kept["PATH"] = f"{self.programs}:{kept['PATH']}"
        own = {"RECORD": self.record, "ANSWERS": self.answers, "TMPDIR": self.folder}
        own |= {"STARTS": self.folder / "starts", "APPLIED": self.folder / "applied"}
        return kept | {name: str(value) for name, value in (own | variables).items()}

    def call(self, *command, seconds=60, **variables):
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment(variables),
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def transcript(self):
        return self.record.read_text().replace(str(self.folder), "TMP")


def blocks(path):
    """Name -> text of the commands that a document marks."""
    pattern = r"<!-- command: (\w+) -->\n```sh\n(.*?)```"
    return dict(re.findall(pattern, path.read_text(), re.DOTALL))
