"""The program in processes that are forked from one which has imported it.

What each fork does is what a new process does, without the seconds of importing and of
taking modules apart at the end.
"""

import contextlib
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
# Each line is (arguments, files that what is printed goes to, anything); the answer is
# (exit code, what `told` returns at the end, "" where the process was killed).
SERVER = """
import json, os, sys, traceback
sys.path.insert(0, {tests!r})
import programs
programs.write_whole()
import importlib, pkgutil, ddjax
for module in pkgutil.walk_packages(ddjax.__path__, "ddjax."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from ddjax import main
begin = told = lambda *given: ""
{setup}
for line in sys.stdin:
    arguments, *files, given = json.loads(line)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        for number, path in enumerate(files, 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        sys.argv, code = ["ddjax", *arguments], 1
        begin(given)
        try:
            main.run()
            code = 0
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os.write(write, json.dumps(told()).encode())
        os._exit(code or 0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([code, json.loads(answer or '""')]), flush=True)
"""


@contextlib.contextmanager
def forking(environment, setup=""):
    """Yields (arguments, output file, error file, anything) -> (exit code, told).

    Args:
      environment: variables of the processes.
      setup: lines that the one process runs before it forks; `begin(anything)` and
        `told()` are called in each fork, before and after the program.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    code = SERVER.format(tests=str(ROOT / "tests"), setup=setup)
    command = [sys.executable, "-W", "error::SyntaxWarning", "-c", code]
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) as server:

        def run(arguments, out, err, given=None):
            line = [list(map(str, arguments)), str(out), str(err), given]
            print(json.dumps(line), file=server.stdin, flush=True)
            return tuple(json.loads(server.stdout.readline()))

        yield run
        server.stdin.close()
