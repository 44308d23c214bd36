#!/usr/bin/env bash
# Runs ddjax.main in several processes on this machine, whose devices are its cores:
#   NUM_PROCESSES=2 launch/local.sh --config=configs/cad_prune.py --workdir=runs/digits
# Variables: NUM_PROCESSES; PYTHON (python); JAX_NUM_CPU_DEVICES, of each process (its
# share of the cores); RESTARTS (0), how often to start again when a process got
# SIGTERM (exit code 75) or died; PATIENCE (20), seconds from SIGTERM to the others
# to killing them. DRY_RUN=1 prints every command and runs none.
set -euo pipefail
: "${NUM_PROCESSES:?set NUM_PROCESSES to how many processes to start, such as 2}"
if [[ ! $NUM_PROCESSES =~ ^[1-9][0-9]*$ ]]; then
  echo "local.sh: NUM_PROCESSES is '$NUM_PROCESSES', not 1, 2, ..." >&2 && exit 2
fi
say() { echo "local.sh: $*" >&2 || true; } # the terminal may have gone
share=$((NUM_PROCESSES < $(nproc) ? $(nproc) / NUM_PROCESSES : 1))
# A process that outlives this script, because it was killed, gets SIGTERM.
bound=(setpriv --pdeathsig TERM)
if ! command -v "${bound[0]}" >/dev/null; then bound=(); fi
pids=() signal="" # of the processes that run, by number; what this script received

# Prints a free port. It lies below those that Linux gives to outgoing connections.
free_port() {
  local port=$((20000 + RANDOM % 12000))
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}

# Marks the lines of a process. Outlives a Ctrl-C, so that no last words are lost.
mark() {
  trap '' INT TERM HUP
  exec sed -u "s/^/[$1] /"
}

start() {
  local address i command
  address=127.0.0.1:$(free_port)
  for ((i = 0; i < NUM_PROCESSES; i++)); do
    command=(env "JAX_COORDINATOR_ADDRESS=$address" "JAX_NUM_PROCESSES=$NUM_PROCESSES"
      "JAX_PROCESS_ID=$i" "JAX_NUM_CPU_DEVICES=${JAX_NUM_CPU_DEVICES:-$share}"
      ${bound[@]+"${bound[@]}"} "${PYTHON:-python}" -m ddjax.main "$@")
    set -m # without job control, what runs in the background does not hear Ctrl-C
    if [[ ${DRY_RUN:-} ]]; then
      echo "${command[@]@Q}" && continue
    elif ((i == 0)); then
      "${command[@]}" </dev/null &
    else
      "${command[@]}" </dev/null > >(mark "$i") 2> >(mark "$i" >&2) &
    fi
    set +m
    pids[i]=$!
  done
}

pass() { kill -"$1" "${pids[@]}" 2>/dev/null || true; }

# Waits for all processes; sets `code` to that of the first that failed, 0 if none did.
watch() {
  local i ended end=0 && code=0
  while ((${#pids[@]})); do
    for i in "${!pids[@]}"; do
      if kill -0 "${pids[i]}" 2>/dev/null; then continue; fi
      ended=0 && wait "${pids[i]}" || ended=$?
      unset "pids[i]"
      if ((ended == 0 || code != 0)); then continue; fi
      code=$ended end=$((SECONDS + ${PATIENCE:-20}))
      say "process $i ended with exit code $code; all others end too"
      pass TERM
    done
    if ((end && SECONDS >= end)); then pass KILL; fi
    sleep 0.2 || true # Ctrl-C ends it
  done
}

trap 'signal=TERM; pass TERM' TERM HUP # HUP: the terminal is lost
trap 'signal=INT; pass INT' INT
for ((try = 1; ; try++)); do
  start "$@"
  if [[ $signal ]]; then pass "$signal"; fi # it came while they started
  watch
  if ((code != 75 && code <= 128 || try > ${RESTARTS:-0})) || [[ $signal ]]; then
    exit "$code"
  fi
  say "starting again, $try of $RESTARTS"
done
