#!/bin/sh
# First program of the VPN client: rules, slots, then openvpn for as long as there is a client config.
#   V6_ISOLATED_RANGE   range of the slots, CIDR
#   V6_VPN_SUBNET       range of the VPN, CIDR; empty: VPN is off
#   V6_UPLINK_GATEWAY   way out; empty: leave the default route as the engine made it
# Mounts: /client (client.ovpn, read-only), /mgmt (management socket), /proxy (one socket per slot),
# /state (slots, remotes, ports, receiving, sending: data, read line by line, never executed).
set -eu # fail closed: no filter, no tunnel
. /usr/local/lib/v6/client.sh
: "${V6_ISOLATED_RANGE:?}" "${V6_VPN_SUBNET:=}" "${V6_UPLINK_GATEWAY:=}"

mkdir -p "$V6_RUN"
echo "$$" >"$V6_RUN/entry.pid"

is_number() { case "$1" in '' | *[!0-9]*) return 1 ;; esac }
is_port() { is_number "$1" && [ "${#1}" -le 5 ] && [ "$1" -ge 1 ] && [ "$1" -le 65535 ]; }
is_address() {
  case "$1" in '' | *[!0-9.]* | *.*.*.*.* | .* | *. | *..*) return 1 ;; *.*.*.*) ;; *) return 1 ;; esac
  IFS=.
  # shellcheck disable=SC2086  # its four parts are wanted
  set -- $1
  unset IFS
  for part; do [ "${#part}" -le 3 ] && [ "$part" -le 255 ] || return 1; done
}
is_network() { case "$1" in '' | *[!0-9./]*) return 1 ;; esac }
is_protocol() { case "$1" in tcp | udp) ;; *) return 1 ;; esac }
is_link() { case "$1" in '' | *[!0-9a-f:]*) return 1 ;; esac }

# The lines of a state file as commands of nft. A line that cannot be is left out: it costs itself, not the others.
port_elements() {
  while read -r protocol tunnel address port rest; do
    is_protocol "$protocol" && is_port "$tunnel" && is_address "$address" && is_port "$port" && [ -z "$rest" ] || continue
    echo "add element inet v6client ports { $protocol . $tunnel : $address . $port }"
    [ "$protocol" = udp ] || echo "add element inet v6client resumed { $address . $port : $tunnel }"
  done
}

remote_elements() {
  while read -r address protocol port rest; do
    is_address "$address" && is_protocol "$protocol" && is_port "$port" && [ -z "$rest" ] || continue
    echo "add element inet v6client remotes { $address . $protocol . $port }"
  done
}

# flow_elements SET
flow_elements() {
  while read -r source destination protocol port rest; do
    is_address "$source" && is_address "$destination" && is_protocol "$protocol" && is_port "$port" && [ -z "$rest" ] || continue
    echo "add element inet v6client $1 { $source . $destination . $protocol . $port }"
  done
}

all_elements() {
  [ ! -f /state/remotes ] || remote_elements </state/remotes
  [ ! -f /state/ports ] || port_elements </state/ports
  for set in receiving sending; do
    [ ! -f "/state/$set" ] || flow_elements "$set" <"/state/$set"
  done
}

# All in one transaction: a process for each of a thousand elements would take seconds. Where nft refuses that (a port twice),
# one after the other.
restore_elements() {
  all_elements | nft -f - && return 0
  all_elements | while read -r command; do nft "$command" || log "not restored: $command"; done
}

restore_slots() {
  [ -f /state/slots ] || return 0
  set --
  while read -r index gateway client link _; do
    is_number "$index" && is_network "$gateway" && is_address "$client" && is_link "$link" || continue
    set -- "$@" "$index" "$gateway" "$client" "$link"
  done </state/slots
  claims "$@" >/dev/null || log "not all slots were claimed"
}

load_rules </dev/null
restore_elements
default_route >/dev/null || log "no way to the uplink"

has_tun=no
if [ -n "$V6_VPN_SUBNET" ]; then
  vpn_routes
  if [ -c /dev/net/tun ]; then
    vpn_device
    has_tun=yes
  else
    log "no tun device: the VPN stays off"
  fi
fi
restore_slots
: >"$V6_RUN/ready"
log "rules are in place"

woken=no
vpn=
nap=
trap 'woken=yes' USR1
# explicit-exit-notify needs a moment; openvpn has the signal already when tini sent it to the group.
trap 'trap "" TERM; [ -z "$vpn" ] || { kill -TERM "$vpn" 2>/dev/null; wait "$vpn"; }; exit 143' TERM INT

# pause SECONDS: ends early when somebody calls wake.
pause() {
  if [ "$woken" = no ]; then
    sleep "$1" &
    nap=$!
    wait "$nap" || true
    kill "$nap" 2>/dev/null || true
  fi
  woken=no
}

run_openvpn() {
  rm -f /mgmt/openvpn.sock
  # Only what a tunnel needs is taken from the server: no routes, no DNS, no IPv6, no options that end or reroute us.
  # The client config is rendered by the node and names no script: ours is the only one.
  openvpn --config /client/client.ovpn --dev tun0 --dev-type tun --disable-dco --script-security 2 \
    --management /mgmt/openvpn.sock unix --explicit-exit-notify 1 --route-noexec \
    --ifconfig-noexec --up "/usr/local/lib/v6/up.sh $V6_VPN_SUBNET" \
    --pull-filter accept 'ifconfig ' --pull-filter accept 'topology ' --pull-filter accept 'peer-id ' \
    --pull-filter accept 'cipher ' --pull-filter accept 'ping ' --pull-filter accept 'ping-restart ' \
    --pull-filter accept 'protocol-flags ' --pull-filter accept 'key-derivation ' --pull-filter accept 'tun-mtu ' \
    --pull-filter accept 'route-gateway ' --pull-filter accept 'socket-flags ' \
    --pull-filter accept 'compress stub' --pull-filter accept 'comp-lzo no' \
    --pull-filter ignore '' &
  vpn=$!
  echo "$vpn" >"$V6_RUN/openvpn.pid"
  while kill -0 "$vpn" 2>/dev/null; do wait "$vpn" || true; done
  rm -f "$V6_RUN/openvpn.pid"
  vpn=
}

backoff=1
while :; do
  if [ "$has_tun" = no ] || [ ! -s /client/client.ovpn ]; then
    # The address of the last tunnel: nothing follows it.
    [ "$has_tun" = no ] || ip addr flush dev tun0
    backoff=1
    pause 5
    continue
  fi
  woken=no
  since=$(date +%s)
  run_openvpn
  # A healthy minute clears the memory of earlier crashes (network-design, pitfall P9).
  [ $(($(date +%s) - since)) -lt 60 ] || backoff=1
  [ "$woken" = no ] || backoff=1
  log "openvpn ended"
  pause "$backoff"
  backoff=$((backoff * 2))
  [ "$backoff" -le 8 ] || backoff=8
done
