#!/usr/bin/env bash
# Keeps ddjax.main running on a TPU VM without the connection that started it. tpu_vm.sh
# calls it over ssh, where any call may be cut off or come twice:
#   worker.sh install COMMIT | start KEY ID ARGS... | status | log ID FROM | last
#   worker.sh stop | end SECONDS
# What is known of the run stands in ~/ddjax.run. Its `lock` is held for as long as the
# run lives, however it ends, so nothing is started or copied beside it.
set -euo pipefail
mkdir -p ~/ddjax.run && cd ~/ddjax.run

told() { if [[ -e $1 ]]; then cat "$1"; else echo "$2"; fi; }
over() { flock --shared --nonblock lock true; }
started() { [[ $(told id -) == "$1 $2" ]]; }

install() { # tpu_vm.sh holds the lock; a newer Python, which the machines do not have
  cd ~/ddjax
  python3 -m pip install -q --user uv && python3 -m uv venv -q --python 3.12
  python3 -m uv pip install -q . 'jax[tpu]'
  echo "$1" >~/ddjax.run/ready
}

start() {
  if started "$1" "$2"; then return; fi
  exec 9>lock
  flock --wait 10 9 || { echo "worker.sh: another run goes on" >&2 && exit 1; }
  if started "$1" "$2"; then return; fi
  rm -f code pid stop && : >log && echo "$1 $2" >id
  setsid nohup ~/ddjax/launch/worker.sh keep "${@:3}" </dev/null >>log 2>&1 &
}

note() { echo "$1 $(date +%s.%N)" >code.new && mv code.new code; }

# Is told to stop with the program when the machine is; stays to write its code down.
keep() {
  trap : TERM INT
  local code=0
  echo $$ >group
  (
    echo "$BASHPID" >pid
    if [[ -e stop ]]; then exit 75; fi
    cd ~/ddjax && exec .venv/bin/python -m ddjax.main "$@"
  ) || code=$?
  note "$code"
}

# ddjax: STATE COMMIT KEY ID CODE TIME HOST; the code and the time are those of its end.
status() {
  local state=running end="- -"
  if [[ ! -e id ]]; then
    state=busy # it is being installed
    if over; then state=$(if [[ -e ready ]]; then echo ready; else echo bare; fi); fi
  elif over || [[ -e code ]]; then
    state=$(if [[ -e stop ]]; then echo stopped; else echo ended; fi)
    # Without a code all of it was killed, or the machine started anew.
    end=$(told code "137 $(stat -c %.Y log)")
  fi
  echo "ddjax: $state $(told ready -) $(told id "- -") $end $HOSTNAME"
}

log() { # one line, to tell a whole answer from parts and repetitions
  if [[ $(told id -) != *" $1" ]]; then return; fi
  echo "ddjax: log $2 $(tail -c "+$(($2 + 1))" log | head -c 1000000 | base64 -w 0) end"
}

last() { tail -n 20 log | sed "s/^/[$HOSTNAME] /"; }

stop() { touch stop && tell; }
tell() { if ! over && [[ -e pid ]]; then kill "$(<pid)" 2>/dev/null || true; fi; }

end() { # tells it to stop, and kills it after some seconds
  tell
  for ((i = 0; i < $1; i++)); do if over; then return; fi && sleep 1; done
  kill -KILL -- "-$(<group)" && note 137
}

"$@"
