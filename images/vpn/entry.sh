#!/bin/sh
# First program of the VPN client: rules, slots, then openvpn for as long as there is a client config.
#   V6_ISOLATED_RANGE   range of the slots, CIDR
#   V6_VPN_SUBNET       range of the VPN, CIDR; empty: VPN is off
#   V6_UPLINK_GATEWAY   way out; empty: leave the default route as the engine made it
# Mounts: /client (client.ovpn, read-only), /mgmt (management socket), /proxy (one socket per slot),
# /state (slots, remotes, ports: data, read line by line, never executed).
set -eu # fail closed: no filter, no tunnel
. /usr/local/lib/v6/client.sh
: "${V6_ISOLATED_RANGE:?}" "${V6_VPN_SUBNET:=}" "${V6_UPLINK_GATEWAY:=}"

mkdir -p "$V6_RUN"
echo "$$" >"$V6_RUN/entry.pid"

is_number() { case "$1" in '' | *[!0-9]*) return 1 ;; esac }
is_address() { case "$1" in '' | *[!0-9.]*) return 1 ;; esac }
is_network() { case "$1" in '' | *[!0-9./]*) return 1 ;; esac }
is_protocol() { case "$1" in tcp | udp) ;; *) return 1 ;; esac }
is_link() { case "$1" in '' | *[!0-9a-f:]*) return 1 ;; esac }

# One element after the other: a bad line costs itself, not the others.
restore_ports() {
  [ -f /state/ports ] || return 0
  while read -r protocol tunnel address port _; do
    is_protocol "$protocol" && is_number "$tunnel" && is_address "$address" && is_number "$port" || continue
    nft add element inet v6client ports "{ $protocol . $tunnel : $address . $port }" || log "port $tunnel was not restored"
  done </state/ports
}

restore_remotes() {
  [ -f /state/remotes ] || return 0
  while read -r address protocol port _; do
    is_address "$address" && is_protocol "$protocol" && is_number "$port" || continue
    nft add element inet v6client remotes "{ $address . $protocol . $port }" || log "remote $address was not restored"
  done </state/remotes
}

restore_slots() {
  [ -f /state/slots ] || return 0
  while read -r index gateway client link _; do
    is_number "$index" && is_network "$gateway" && is_address "$client" && is_link "$link" || continue
    if claim "$gateway" "$client" "$link"; then relay_start "$index" "${gateway%/*}"; fi
  done </state/slots
}

nft -D "ISO_NET=$V6_ISOLATED_RANGE" -f /usr/local/lib/v6/client.nft
[ -z "$V6_VPN_SUBNET" ] || nft add element inet v6client vpn "{ $V6_VPN_SUBNET }"
restore_remotes
restore_ports
default_route

has_tun=no
if [ -n "$V6_VPN_SUBNET" ]; then
  # Without tun0 the VPN's addresses lead nowhere, never to the uplink.
  ip route replace blackhole "$V6_VPN_SUBNET" metric 4000
  if [ -c /dev/net/tun ]; then
    # A device that outlives openvpn: its address and its route stay, so a restart of openvpn opens no other way.
    ip tuntap add dev tun0 mode tun
    ip link set dev tun0 up
    ip route replace "$V6_VPN_SUBNET" dev tun0 metric 100
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
