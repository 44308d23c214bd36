#!/usr/bin/env bash
# Runs ddjax.main on Cloud TPU VMs, from asking for the machines to giving them back:
#   launch/tpu_vm.sh create | wait | copy | run ARGS... | fetch | delete | all ARGS...
# The variables are in launch/README.md. DRY_RUN=1 prints every command and runs none.
set -euo pipefail
: "${PROJECT:?set PROJECT to the Google Cloud project}"
: "${ZONE:?set ZONE to a zone that has the TPU, such as us-west4-a}"
: "${NAME:?set NAME to how the machines shall be called}"
tpu=(gcloud compute tpus queued-resources) at=(--project="$PROJECT" --zone="$ZONE")
all=(--node=all --worker=all --batch-size=all)
exec 3>&1 # where DRY_RUN prints what is captured otherwise

call() { if [[ ${DRY_RUN:-} ]]; then echo "${@@Q}" >&3; else "$@"; fi; }
on() { call "${tpu[@]}" ssh "$NAME" "${at[@]}" "${@:2}" --command="$1"; }
state() { call "${tpu[@]}" describe "$NAME" "${at[@]}" --format="value(state.state)"; }
delete() { call "${tpu[@]}" delete "$NAME" "${at[@]}" --force --quiet; }
say() { echo "tpu_vm.sh: $*" >&2; }

create() {
  : "${ACCELERATOR_TYPE:?set ACCELERATOR_TYPE to a kind of TPU, such as v5litepod-16}"
  : "${RUNTIME_VERSION:?set RUNTIME_VERSION to its image, such as v2-alpha-tpuv5-lite}"
  local nodes=(--node-id="$NAME")
  if ((${NODE_COUNT:-1} > 1)); then nodes=(--node-count="$NODE_COUNT"); fi # slices
  call "${tpu[@]}" create "$NAME" "${at[@]}" "${nodes[@]}" ${SPOT:+--spot} \
    ${RESERVED:+--reserved} --accelerator-type="$ACCELERATOR_TYPE" \
    --runtime-version="$RUNTIME_VERSION" \
    ${STARTUP_SCRIPT:+"--metadata-from-file=startup-script=$STARTUP_SCRIPT"}
}

await() {
  local found
  while found=$(state) || exit; [[ ! ${DRY_RUN:-} && $found != ACTIVE ]]; do
    say "waiting for $NAME, it is $found"
    if [[ $found == @(FAILED|SUSPEND*) ]]; then exit 1; fi
    sleep "${POLL_SECONDS:-30}"
  done
}

copy() { # what is committed; and a newer Python, which the machines do not have
  local archive=${TMPDIR:-/tmp}/$NAME.tar.gz
  call git -C "${0%/*}/.." archive --format=tar.gz --output="$archive" HEAD
  call "${tpu[@]}" scp "$archive" "$NAME:ddjax.tar.gz" "${at[@]}" "${all[@]}"
  on "rm -rf ddjax && mkdir ddjax && tar -xzf ddjax.tar.gz -C ddjax && cd ddjax &&\
 python3 -m pip install -q --user uv && python3 -m uv venv -q --python 3.12 &&\
 python3 -m uv pip install -q . 'jax[tpu]'" "${all[@]}"
}

run() {
  local line code try found restarts=${RESTARTS:-10}
  printf -v line ' %q' -m ddjax.main --distributed=on "$@" --workdir="$WORKDIR"
  for ((try = 1; ; try++)); do
    code=0 && on "cd ddjax && exec .venv/bin/python$line" "${all[@]}" || code=$?
    if ((code == 0)); then return; fi
    found=$(state)
    # Go on where it was told to stop, or the machines were taken away.
    if [[ $code:$found != @(75:ACTIVE|*:FAILED|*:SUSPEND*) ]]; then exit "$code"; fi
    if ((try > restarts)); then exit "$code"; fi
    say "exit code $code, $NAME is $found; starting again, $try of $restarts"
    if [[ $found != ACTIVE ]]; then delete; create; await; copy; fi
  done
}

fetch() { # without what only a run that goes on needs
  local to=${RESULTS:-runs/$NAME} first=(--node=0 --worker=0)
  on "tar -czf out.tar.gz --exclude=./artifacts --exclude=./partial\
 -C ${WORKDIR@Q} ." "${first[@]}"
  call mkdir -p "$to"
  call "${tpu[@]}" scp "$NAME:out.tar.gz" "$to/" "${at[@]}" "${first[@]}"
  call tar -xzf "$to/out.tar.gz" -C "$to"
}

case ${1:-} in
  run | fetch | all) : "${WORKDIR:?set WORKDIR to a folder that all machines share}" ;;&
  create | copy | run | fetch | delete) "$@" ;;
  wait) await ;;
  all) create; trap delete EXIT; await; copy; run "${@:2}"; fetch ;;
  *) say "'${1:-}' is none of create, wait, copy, run, fetch, delete, all" && exit 2 ;;
esac
