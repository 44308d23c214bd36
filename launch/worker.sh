#!/usr/bin/env bash
# Keeps ddjax.main running on a TPU VM without the connection that started it. tpu_vm.sh
# calls it over ssh, where any call may be cut off or come twice:
#   worker.sh install COMMIT | start KEY ID ARGS... | status | log ID FROM | last
#   worker.sh stop | end SECONDS
# What is known of the run stands in ~/ddjax.run. Its `lock` is held for as long as the
# run lives, however it ends, so nothing is started or copied beside it.
set -euo pipefail
mkdir -p ~/ddjax.run && cd ~/ddjax.run

content() { if [[ -e $1 ]]; then cat "$1"; else echo "$2"; fi; }
free() { flock --shared --nonblock lock true; }
over() { [[ -e code ]] || free; } # what it started may hold the lock a little longer

install() { # tpu_vm.sh holds the lock; a newer Python, which the machines do not have
  cd ~/ddjax
  python3 -m pip install -q --user uv && python3 -m uv venv -q --python 3.12
  python3 -m uv pip install -q . 'jax[tpu]'
  echo "$1" >~/ddjax.run/ready
}

start() {
  # What an ended run left behind does not hold the next one up.
  if [[ -e code ]] && ! free; then kill -KILL -- "-$(<group)" || true; fi
  exec 9>lock
  if flock --wait 3 9; then
    if [[ $(content id -) == "$1 $2" ]]; then return; fi # the call came twice
    rm -f id code pid stop && : >log
    setsid nohup ~/ddjax/launch/worker.sh keep "$@" </dev/null >>log 2>&1 &
    for ((i = 0; i < 50; i++)); do if [[ -e id ]]; then break; fi && sleep 0.1; done
  elif [[ $(content id -) == "$1 "* && ! -e code ]]; then
    echo "$1 $2" >id # it was started already, on this machine: one name on all of them
  else
    echo "worker.sh: another run goes on" >&2 && exit 1
  fi
}

note() { echo "$1 $(date +%s.%N)" >code.new && mv code.new code; }

# Gets SIGTERM with the program when the machine stops; stays to write its code down.
keep() {
  trap : TERM INT
  local code=0
  echo $$ >group && echo "$1 $2" >id
  (
    echo "$BASHPID" >pid
    if [[ -e stop ]]; then exit 75; fi
    cd ~/ddjax && exec .venv/bin/python -m ddjax.main "${@:3}"
  ) || code=$?
  note "$code"
}

# ddjax: STATE COMMIT KEY ID CODE TIME HOST; the code and the time are those of its end.
status() {
  local id state=running end="- -"
  id=$(content id "")
  if [[ ! $id ]]; then
    state=busy # it is being installed, or about to start
    if free; then state=$(if [[ -e ready ]]; then echo ready; else echo bare; fi); fi
  elif over; then
    state=$(if [[ -e stop ]]; then echo stopped; else echo ended; fi)
    # Without a code all of it was killed, or the machine started anew.
    end=$(content code "137 $(stat -c %.Y log)")
  fi
  echo "ddjax: $state $(content ready -) ${id:-- -} $end $HOSTNAME"
}

log() { # one line, so that a part or a repetition is no whole reply
  if [[ $(content id -) != *" $1" ]]; then return; fi
  echo "ddjax: log $2 $(tail -c "+$(($2 + 1))" log | head -c 1000000 | base64 -w 0) end"
}

last() { tail -n 20 log | sed "s/^/[$HOSTNAME] /"; }

stop() { touch stop && terminate; }
terminate() { if ! over && [[ -e pid ]]; then kill "$(<pid)" 2>/dev/null || true; fi; }

end() { # lets it save and stop, and kills it after some seconds
  terminate
  for ((i = 0; i < $1; i++)); do if over; then return; fi && sleep 1; done
  kill -KILL -- "-$(<group)" && note 137
}

"$@"
