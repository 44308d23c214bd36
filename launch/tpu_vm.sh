#!/usr/bin/env bash
# Runs ddjax.main on Cloud TPU VMs. The run lives there, not in this script, which may
# be ended and called again at any time:
#   launch/tpu_vm.sh run ARGS... | attach | status | stop | fetch | copy | delete
# The variables are in docs/machines.md. DRY_RUN=1 prints every command and runs none.
set -euo pipefail
: "${PROJECT:?set PROJECT to the Google Cloud project}"
: "${ZONE:?set ZONE to a zone that has the TPU, such as us-west4-a}"
: "${NAME:?set NAME to how the machines shall be called}"
tpu=(gcloud compute tpus queued-resources) at=(--project="$PROJECT" --zone="$ZONE")
read -ra ssh_flags <<<"${SSH_FLAGS:-}"
at_ssh=("${at[@]}" ${ssh_flags[@]+"${ssh_flags[@]}"})
all=(--node=all --worker=all --batch-size=all) first=(--node=0 --worker=0)
worker=ddjax/launch/worker.sh results=${RESULTS:-runs/$NAME}
key='' commit='' state='' expected=1 within=0
scratch=$(mktemp) && trap 'rm -f "$scratch"' EXIT
exec 3>&1 # where DRY_RUN prints what is captured otherwise
exec 4>&2 # for messages of ssh, which are hidden once it is known to work

call() { # within so many seconds, if any
  if [[ ${DRY_RUN:-} ]]; then echo "${@@Q}" >&3 && return; fi
  timeout --foreground "$within" "$@"
}
on() { # the link is given up 45 s after the other side was last heard of
  call "${tpu[@]}" ssh "$NAME" "${at_ssh[@]}" "${@:2}" \
    --ssh-flag=-oServerAliveInterval=15 --command="$1"
}
say() { echo "tpu_vm.sh: $*" >&2 || true; }
die() { say "${@:2}" && exit "$1"; }
usage() { say "$0 attach | status | stop | delete follow $NAME, stop or delete it"; }
leave() { say "detached; what was requested goes on, and costs" && usage && exit "$1"; }
pause() { sleep $((${POLL_SECONDS:-30} * ($1 < 4 ? 1 << $1 : 16))); }

# Sets `state` of the queued resource (ABSENT, PREEMPTED are ours), and `expected`, how
# many machines it has. Fails where Google does not reply.
look() {
  local within=300 found
  if [[ ${DRY_RUN:-} ]]; then found=${state:+ACTIVE} found=${found:-ABSENT}; fi
  if state=$(call "${tpu[@]}" describe "$NAME" "${at[@]}" \
    --format="value(state.state)" 2>"$scratch"); then
    state=${found:-$state}
  elif grep -q NOT_FOUND "$scratch"; then
    state=ABSENT
  else
    state='' && cat "$scratch" >&2 && return 1
  fi
  if [[ $state != ACTIVE ]]; then expected=1 && return; fi
  found=$(call gcloud compute tpus tpu-vm list "${at[@]}" \
    --filter="queuedResource~/$NAME\$" \
    --format="value(state,networkEndpoints.len())") || return 0
  expect "$(awk '{n += $2} END {print n + 0}' <<<"$found")"
  if [[ $found =~ (^|$'\n')(PREEMPTED|TERMINATED) ]]; then state=PREEMPTED; fi
}

expect() { if (($1 > expected)); then expected=$1; fi; }

create() {
  local nodes=(--node-id="$NAME") code=0
  if ((${NODE_COUNT:-1} > 1)); then nodes=(--node-count="$NODE_COUNT"); fi # slices
  call "${tpu[@]}" create "$NAME" "${at[@]}" "${nodes[@]}" ${SPOT:+--spot} \
    ${RESERVED:+--reserved} --accelerator-type="$ACCELERATOR_TYPE" \
    --runtime-version="$RUNTIME_VERSION" \
    ${STARTUP_SCRIPT:+"--metadata-from-file=startup-script=$STARTUP_SCRIPT"} || code=$?
  if ((code == 0)); then return; fi
  # The request may be there although its reply was lost.
  look || die "$code" "$NAME may have been requested; the same command finds it"
  if [[ $state != ABSENT ]]; then return; fi
  say "$NAME could not be requested, nothing is left" && return "$code"
}

remove() { call "${tpu[@]}" delete "$NAME" "${at[@]}" --force --quiet; }

copy() { # what is committed
  local archive=${TMPDIR:-/tmp}/$NAME.tar.gz
  call git -C "${0%/*}/.." archive --format=tar.gz --output="$archive" "$commit" &&
    call "${tpu[@]}" scp "$archive" "$NAME:ddjax.tar.gz" "${at_ssh[@]}" "${all[@]}" &&
    on "mkdir -p ddjax.run && exec 9>ddjax.run/lock && flock -n 9 &&\
 rm -f ddjax.run/id ddjax.run/ready && rm -rf ddjax && mkdir ddjax &&\
 tar -xzf ddjax.tar.gz -C ddjax && $worker install $commit" "${all[@]}"
}

# Polls all machines for the state of the run; sets `replies`. Fails without one.
survey() {
  local within=300 code=0 count
  replies=$(on "if [ -x $worker ]; then $worker status; else\
 echo 'ddjax: bare - - - - -'; fi" "${all[@]}" 2>&4) || code=$?
  replies=$(grep '^ddjax: [a-z]' <<<"$replies" || true)
  count=$(grep -c . <<<"$replies" || true) && expect "$count"
  if [[ ${DRY_RUN:-} ]] || ((code == 0 && count == expected)); then
    exec 4>>"$scratch" && return
  fi
  tail -n 3 "$scratch" >&2 && : >"$scratch" && return 1
}

# Prints the state by all replies, with the newest start of our run (of any, without a
# key) and the exit code of the machine that failed first.
verdict() {
  awk -v key="$key" -v commit="$commit" '
    {ours = key == "" ? $4 != "-" : $4 == key}
    ours && $5 "" > id "" {rest += n; n = live = 0; code = ""; id = $5}
    !ours || $5 != id {
      rest++; busy += $2 == "busy"; foreign += $2 == "running" && !ours
      old += $3 != commit; next
    }
    {n++}
    $2 == "running" {live++; next}
    $6 != 0 && (code == "" || $7 + 0 < time) {time = $7 + 0; code = $6; how = $2}
    END {
      if (foreign) print "foreign"; else if (busy) print "busy"
      else if (!n) print (old ? "bare" : "ready")
      else if (code != "" && live) print "failing", id, code
      else if (code != "") print (how == "stopped" ? how : "failed"), id, code
      else if (rest) print "partial", id
      else if (live) print "running", id; else print "ended", id, 0
    }' <<<"$replies"
}

start() { on "$worker start $key $1$line" "${all[@]}"; }

# Prints what is new in the log of the first machine; RESULTS keeps what was printed.
follow() {
  local file=$results/$1.log within=300 from=0 size part
  while :; do
    if [[ -e $file ]]; then from=$(wc -c <"$file"); fi
    part=$(on "$worker log $1 $((from))" "${first[@]}" 2>&4) || return 0
    part=$(grep "^ddjax: log $((from)) [^ ]* end" <<<"$part" | tail -n 1) || return 0
    read -r _ _ _ part _ <<<"$part"
    base64 -d <<<"${part%end}" >>"$file" || leave 1
    tail -c "+$((from + 1))" "$file" || leave 141 # nobody reads it any more
    size=$(wc -c <"$file")
    if ((size - from < 1000000)); then return; fi # else there is more
  done
}

fetch() { # without what only a run that goes on needs
  on "tar -czf out.tar.gz --exclude=./artifacts --exclude=./partial\
 -C ${WORKDIR@Q} . || [ \$? = 1 ]" "${first[@]}" && # 1: a file grew meanwhile
    call "${tpu[@]}" scp "$NAME:out.tar.gz" "$results/" "${at_ssh[@]}" "${first[@]}" &&
    call tar -xzf "$results/out.tar.gz" -C "$results" && call rm "$results/out.tar.gz"
}

finish() { # with the run's exit code
  local try=0
  if (($1 == 0)); then
    until fetch; do
      say "the results could not be fetched"
      if ((++try == 5)); then die 1 "the run ended well, get them with '$0 fetch'"; fi
      pause "$try"
    done
    if [[ ${DELETE:-} ]]; then remove && exit; fi
  elif (($1 != 75)); then
    on "$worker last" "${all[@]}" >&2 || true
  fi
  say "exit code $1; nothing is deleted, and machines cost" && usage && exit "$1"
}

bounded() { # CODE WHY: so often may the run start again
  say "$2"
  if ((++again > ${RESTARTS:-10})); then finish "$1"; fi
  say "starting again, $again of ${RESTARTS:-10}"
}

# Takes a step towards machines that are ACTIVE; it creates none without a `key`.
prepare() {
  if ! look; then
    if [[ ! $known$requested ]]; then die 1 "no reply about $NAME"; fi
    say "no reply about $NAME, trying again" && pause $((lost++)) && return
  fi
  case $state in
    ACTIVE) ;;
    FAILED | SUSPENDED | PREEMPTED)
      if [[ ! $key ]]; then die 75 "$NAME is $state, '$0 run' starts it again"; fi
      if [[ $state == FAILED && $requested && ! $known ]]; then
        call "${tpu[@]}" describe "$NAME" "${at[@]}" --format="value(state)" >&2 || true
        remove && die 1 "$NAME could not be created; what was left of it is deleted"
      fi
      bounded 75 "$NAME is $state" && known='' requested=''
      remove || { say "$NAME could not be deleted yet" && pause "$again"; }
      ;;
    ABSENT)
      if [[ ! $key || $known ]]; then die 1 "there is no $NAME"; fi
      if create; then requested=1 && return; fi
      if ((again == 0)); then exit 1; fi # else the run is to go on
      bounded 75 "$NAME is missing" && pause "$again"
      ;;
    *)
      if [[ ! $key || $state == DELETING ]]; then die 1 "$NAME is $state"; fi
      say "waiting for $NAME, it is $state" && pause 0
      ;;
  esac
}

# Brings the run to its end, whatever is there of it; without a `key` it only follows.
drive() {
  local known='' requested='' again=0 lost=0 tries=0 whole kind id code
  while :; do
    if [[ $state != ACTIVE ]]; then prepare; fi
    if [[ $state != ACTIVE ]]; then continue; fi
    if survey; then whole=1; else whole=''; fi
    read -r kind id code < <(verdict)
    if [[ ! $whole ]] && ! final "$kind" "$code"; then
      if [[ ! $known$id ]] && ((lost >= 10)); then die 1 "$NAME does not reply"; fi
      say "not all machines reply; what runs there goes on, trying again"
      state='' && pause $((lost++)) && continue
    fi
    lost=0
    if [[ $id ]]; then follow "$id"; fi
    case ${key:+own}:$kind in
      own:foreign) say "$NAME runs another command or commit" && usage && exit 2 ;;
      :bare | :ready | :busy) die 1 "$NAME runs nothing" ;;
      own:bare | own:ready | own:partial)
        if ((++tries > 10)); then die 1 "$NAME cannot be set up; it is kept"; fi
        if [[ $kind != bare ]]; then known=1; fi
        if ! set_up "$kind" "$id"; then say "$NAME is not set up" && pause "$tries"; fi
        continue
        ;;
      own:failing) on "$worker end ${PATIENCE:-60}" "${all[@]}" || true ;;
      *:ended | :failed | :stopped) finish "$code" ;;
      own:failed | own:stopped)
        if final "$kind" "$code" || [[ $kind == stopped && $known ]]; then
          finish "$code"
        fi
        bounded "$code" "the run ended with exit code $code"
        set_up ready || true
        ;;
    esac
    if [[ $id ]]; then known=1 tries=0; fi
    pause 0
  done
}

final() { [[ $1 == @(failed|stopped) && $2 != 75 && $2 -le 128 ]]; }

set_up() { # takes the next step from where the machines are
  case $1 in
    bare) copy ;;
    ready) start "$(date +%Y%m%d-%H%M%S-%N)" ;;
    partial) start "$2" ;;
  esac
}

run() {
  local words
  : "${ACCELERATOR_TYPE:?set ACCELERATOR_TYPE to a kind of TPU, such as v5litepod-16}"
  : "${RUNTIME_VERSION:?set RUNTIME_VERSION to its image, such as v2-alpha-tpuv5-lite}"
  printf -v line ' %q' --distributed=on "$@" --workdir="$WORKDIR"
  words=$(cksum <<<"$line") && key=$commit-${words%% *}
  if [[ ! ${DRY_RUN:-} ]]; then drive; fi
  look && create && look && survey && copy && survey && set_up ready && survey
  follow ID && fetch && if [[ ${DELETE:-} ]]; then remove; fi
}

attach() { if [[ ${DRY_RUN:-} ]]; then look && survey; else drive; fi; }

status() {
  look && echo "$NAME is $state"
  if [[ $state != ACTIVE ]]; then return; fi
  survey || say "not all machines reply"
  echo "${replies//ddjax: /}"
}

delete() { # nothing that may be at work, unless FORCE is set
  look || [[ ${FORCE:-} ]]
  if [[ $state == ACTIVE && ! ${FORCE:-} ]]; then
    survey || die 1 "not all machines reply; FORCE=1 deletes them all the same"
    if grep -q '^ddjax: \(running\|busy\)' <<<"$replies"; then
      die 1 "$NAME is at work; '$0 stop' it first, or FORCE=1 deletes it all the same"
    fi
  fi
  if [[ $state == ABSENT && ! ${DRY_RUN:-} ]]; then die 0 "there is no $NAME"; fi
  remove
}

trap 'leave 130' INT
trap 'leave 143' TERM
trap 'leave 129' HUP
case ${1:-} in
  run | attach | fetch) : "${WORKDIR:?set WORKDIR to a folder of all machines}" ;;&
  run | copy) commit=$(git -C "${0%/*}/.." rev-parse --short=12 HEAD) ;;&
  run | attach | fetch) call mkdir -p "$results" ;;&
  run | attach | status | fetch | copy | delete) "$@" ;;
  stop) on "$worker stop" "${all[@]}" && say "it will save and end; see '$0 attach'" ;;
  *) die 2 "'${1:-}' is none of run, attach, status, stop, fetch, copy, delete" ;;
esac
