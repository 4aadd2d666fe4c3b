# Functions of the VPN client, for entry.sh and for the command stream of the node daemon. POSIX shell (dash).
# Every argument is checked by the caller: this file is never fed with text from outside.

V6_RUN=/run/v6

log() { echo "v6: $*"; }

# ready: wait until entry.sh has loaded the rules; no slot may be claimed before.
ready() {
  n=0
  until [ -e "$V6_RUN/ready" ]; do
    n=$((n + 1))
    [ "$n" -le 200 ] || { log "the rules are not in place"; return 1; }
    sleep 0.05
  done
}

# device_of ADDRESS: name of the interface that owns this address.
device_of() {
  # shellcheck disable=SC2046  # the fields of the answer are wanted
  set -- $(ip -o -4 addr show to "$1/32")
  echo "${2:-}"
}

# The engine takes the default route from the network whose name comes first; ours must lead out through the uplink.
default_route() {
  [ -z "${V6_UPLINK_GATEWAY:-}" ] || ip route replace default via "$V6_UPLINK_GATEWAY"
}

# claim GATEWAY/LENGTH CLIENT LINK: own the slot's gateway address on the interface that has CLIENT.
# The fixed link address keeps the neighbours' entries right over a restart; its change is also announced.
claim() {
  dev=$(device_of "$2")
  [ -n "$dev" ] || { log "no interface has $2"; return 1; }
  ip addr replace "$1" dev "$dev" && ip link set dev "$dev" address "$3" && default_route
}

relay_alive() {
  [ -s "$V6_RUN/relay-$1" ] && kill -0 "$(cat "$V6_RUN/relay-$1")" 2>/dev/null
}

# relay_start INDEX GATEWAY: carry the slot's gateway address to the proxy's socket, now and whenever the socket appears.
relay_start() {
  relay_alive "$1" && return 0
  # setsid keeps the process number: here a child never leads a group before.
  setsid /usr/local/lib/v6/relay.sh "$1" "$2" </dev/null >/dev/null 2>&1 &
  echo "$!" >"$V6_RUN/relay-$1"
}

# relay INDEX GATEWAY: the same, and come back when somebody listens: an algorithm's first act may be a call.
relay() {
  relay_start "$1" "$2"
  n=0
  until [ -n "$(ss -Hltn "src $2 and sport = :8080")" ]; do
    n=$((n + 1))
    [ "$n" -le 150 ] || { log "the relay of slot $1 does not listen on $2"; return 1; }
    sleep 0.02
  done
}

# release INDEX: end the slot's relay with all its connections.
release() {
  if relay_alive "$1"; then kill -s KILL -- "-$(cat "$V6_RUN/relay-$1")"; fi
  rm -f "$V6_RUN/relay-$1"
}

# wake: let entry.sh look at once whether there is a client config.
wake() { kill -USR1 "$(cat "$V6_RUN/entry.pid")"; }

# vpn_stop: end openvpn politely, and not so politely after three seconds.
vpn_stop() {
  pid=$(cat "$V6_RUN/openvpn.pid" 2>/dev/null) || return 0
  kill -TERM "$pid" 2>/dev/null || return 0
  n=0
  while kill -0 "$pid" 2>/dev/null; do
    n=$((n + 1))
    [ "$n" -lt 60 ] || { kill -KILL "$pid" 2>/dev/null; break; }
    sleep 0.05
  done
}

# vpn_replace: go over to the client config that has just been put there. No good-bye: it takes openvpn a second and more, in
# which nothing goes through, and the server gives the address to whoever comes with the next certificate.
vpn_replace() {
  # In this order: entry.sh must not rest between the two, and the one that it starts now must not be the one that ends.
  pid=$(cat "$V6_RUN/openvpn.pid" 2>/dev/null) || pid=
  wake
  [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
}

# vpn_kill: end an openvpn that no longer answers; entry.sh starts it again.
vpn_kill() { kill -KILL "$(cat "$V6_RUN/openvpn.pid")"; }

# flush ADDRESS: cut all flows from and to an algorithm.
flush() {
  conntrack -D -s "$1" >/dev/null 2>&1 || true
  conntrack -D -r "$1" >/dev/null 2>&1 || true
}
