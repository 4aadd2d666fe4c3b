#!/bin/dash
# VPN server: rules first, then openvpn, started again when it ends. Runs under tini.
# VPN_NET, VPN_PORT, VPN_PROTOCOL: what the rules are about. VPN_CONFIGS: names of the configurations in /vpn (read-only),
# one openvpn process each; default server.conf. /run/vpn holds the management sockets. No secret is in the environment or on
# a command line.
set -eu

lib=$(dirname "$0")
# No filter, no tunnel: nft loads all or nothing, and a failure ends the script.
nft -D VPN_NET="$VPN_NET" -D PORT="$VPN_PORT" -D PROTOCOL="$VPN_PROTOCOL" -f "$lib/vpn-server.nft"
if [ "$(cat /proc/sys/net/ipv4/ip_forward)" != 1 ]; then
	echo 'v6: net.ipv4.ip_forward is 0 in this container' >&2
	exit 78
fi

# The folder around the management socket is open to its owner alone; the socket itself must not keep the portal out,
# which may run under another user id.
umask 0

# One openvpn process, started again when it ends.
keep() {
	child=
	stopping=
	# openvpn tells its clients to connect anew elsewhere (explicit-exit-notify) and ends
	trap 'stopping=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true' TERM INT
	while [ -z "$stopping" ]; do
		openvpn --config "/vpn/$1" &
		child=$!
		# a signal ends wait early: wait until the process itself has ended
		while kill -0 "$child" 2>/dev/null; do wait "$child" || true; done
		child=
		[ -n "$stopping" ] || sleep "${VPN_PAUSE:-1}" || true
	done
}

keepers=
# shellcheck disable=SC2086
stop() { kill -TERM $keepers 2>/dev/null || true; }
trap stop TERM INT
for config in ${VPN_CONFIGS:-server.conf}; do
	keep "$config" &
	keepers="$keepers $!"
done
for keeper in $keepers; do
	while kill -0 "$keeper" 2>/dev/null; do wait "$keeper" || true; done
done
