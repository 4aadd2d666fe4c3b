#!/bin/sh
# up.sh VPN DEVICE MTU …: openvpn calls it when it has a tunnel address; openvpn(8), --up.
# openvpn itself would take the address away at its end, and with it the kernel forgets every masqueraded flow. Ours stays
# while one openvpn follows another: a flow goes on where the next one is given the same address.
set -eu
: "${ifconfig_local:?}"
ip link set dev "$2" mtu "$3" up
ip -o -4 addr show dev "$2" | while read -r _ _ _ address _; do
  [ "$address" = "$ifconfig_local/32" ] || ip addr del "$address" dev "$2"
done
ip addr replace "$ifconfig_local/32" dev "$2"
# With its last address a device loses its routes. eduVPN cuts its range into slices; on-link is only one of them.
ip route replace "$1" dev "$2" metric 100
