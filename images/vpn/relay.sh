#!/bin/sh
# relay.sh INDEX GATEWAY: leader of a process group of its own, so that one signal ends the relay and all it carries.
set -u
while :; do
  # keepalive: a connection whose slot is gone must not hold one of the 64 places for hours.
  socat "TCP-LISTEN:8080,bind=$2,reuseaddr,fork,max-children=64,keepalive,keepidle=30,keepintvl=10,keepcnt=3" \
    "UNIX-CONNECT:/proxy/slot-$1.sock"
  sleep 1
done
