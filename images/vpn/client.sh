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

# The engine takes the default route from the network whose name comes first; ours must lead out through the uplink.
# Prints a line when it did not.
default_route() {
  [ -n "${V6_UPLINK_GATEWAY:-}" ] || return 0
  case "$(ip -4 route show default)" in "default via $V6_UPLINK_GATEWAY dev "*) return 0 ;; esac
  echo "route default"
  ip route replace default via "$V6_UPLINK_GATEWAY"
}

# plan_claims INDEX GATEWAY/LENGTH CLIENT LINK …: what is to be done for these slots, one line each: `ok INDEX GATEWAY`,
# `claim INDEX` with the lines `ip …` that do it, `lost INDEX` when no interface has CLIENT.
plan_claims() {
  {
    ip -o -4 addr show
    ip -o link show
    printf 'slot %s %s %s %s\n' "$@"
  } | awk '
    $3 == "inet" { split($4, part, "/"); device[part[1]] = $2; owned[$2 " " $4] = 1; next }
    $1 != "slot" {
      split($2, part, /[@:]/)
      for (i = 3; i < NF; i++) if ($i == "link/ether") link[part[1]] = $(i + 1)
      next
    }
    !($4 in device) { print "lost " $2; next }
    {
      dev = device[$4]; split($3, part, "/"); print "ok " $2 " " part[1]
      if ((dev " " $3) in owned && link[dev] == $5) next
      print "claim " $2; print "ip addr replace " $3 " dev " dev; print "ip link set dev " dev " address " $5
    }'
}

# claims INDEX GATEWAY/LENGTH CLIENT LINK …: own the gateway address of every slot on the interface that has CLIENT, and carry
# it to the proxy. The fixed link address keeps the neighbours' entries right over a restart; its change is also announced.
# Prints what was not so before: `claim INDEX`, `relay INDEX`, `route default`; and what cannot be: `lost INDEX`, `lost route`.
claims() {
  [ $# -gt 0 ] || { default_route || echo "lost route"; return 0; }
  plan=$(plan_claims "$@")
  echo "$plan" | sed -n -e '/^claim /p' -e '/^lost /p'
  echo "$plan" | sed -n 's/^ip //p' | ip -force -batch -
  default_route || echo "lost route"
  owned=$(echo "$plan" | sed -n 's/^ok //p')
  [ -n "$owned" ] || return 0
  while read -r index gateway; do
    relay_alive "$index" || { echo "relay $index"; relay_start "$index" "$gateway"; }
  done <<END
$owned
END
}

# only INDEX …: end the relays of all other slots; `stray INDEX` for each. A daemon that was killed cannot say which it had.
only() {
  for file in "$V6_RUN"/relay-*; do
    [ -e "$file" ] || continue
    case " $* " in *" ${file##*-} "*) continue ;; esac
    echo "stray ${file##*-}"
    release "${file##*-}"
  done
}

# listening INDEX GATEWAY/LENGTH CLIENT LINK …: come back when the relays of these slots listen: an algorithm's first act may be
# a call.
listening() {
  n=0
  until all_listen "$@"; do
    n=$((n + 1))
    [ "$n" -le 150 ] || { log "a relay does not listen"; return 1; }
    sleep 0.02
  done
}

all_listen() {
  ears=$(ss -Hltn 'sport = :8080')
  while [ $# -ge 4 ]; do
    case "$ears" in *" ${2%/*}:8080 "*) ;; *) return 1 ;; esac
    shift 4
  done
}

relay_alive() {
  [ -s "$V6_RUN/relay-$1" ] && read -r relay <"$V6_RUN/relay-$1" && kill -0 "$relay" 2>/dev/null
}

# relay_start INDEX GATEWAY: carry the slot's gateway address to the proxy's socket, now and whenever the socket appears.
relay_start() {
  relay_alive "$1" && return 0
  # setsid keeps the process number: here a child never leads a group before. In a shell of its own: with that gone the relay is
  # a child of tini, which takes note of its end at once; the shell of the command stream would when its next command ends.
  (
    setsid /usr/local/lib/v6/relay.sh "$1" "$2" </dev/null >/dev/null 2>&1 &
    echo "$!" >"$V6_RUN/relay-$1"
  )
}

# release INDEX: end the slot's relay with all its connections.
release() {
  if relay_alive "$1"; then kill -s KILL -- "-$relay"; fi
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

# vpn_kill: end an openvpn that no longer answers; entry.sh starts it again, at once.
vpn_kill() { vpn_replace; }

# clean INDEX GATEWAY/LENGTH CLIENT LINK ADDRESS: leave nothing of the run that had this slot: no flow, no open call to the proxy.
clean() {
  release "$1"
  flush "$5" && forget "$5" || return 1
  claims "$1" "$2" "$3" "$4" && listening "$1" "$2" "$3" "$4"
}

# only_shell: the shell of a stream that was lost may still sit there, with what it has started: it would do its last command after
# ours. The engine makes it the leader of its group; relays have left that. Comes back when nothing is left of it.
only_shell() {
  if [ -s "$V6_RUN/shell.pid" ] && read -r shell <"$V6_RUN/shell.pid" && [ "$shell" != "$$" ]; then
    # No program has a number while it is that of a group: with the shell gone the group is what it has started.
    case "$(tr '\0' ' ' 2>/dev/null <"/proc/$shell/cmdline")" in
      "/bin/sh " | "")
        kill -s KILL -- "-$shell" 2>/dev/null || kill -s KILL "$shell" 2>/dev/null || :
        n=0
        while kill -s 0 -- "-$shell" 2>/dev/null && [ "$n" -lt 40 ]; do
          n=$((n + 1))
          sleep 0.05
        done
        ;;
    esac
  fi
  echo "$$" >"$V6_RUN/shell.pid"
}

# end_flows FILTER …: conntrack gives up, with the rest still there, at an entry that is gone when it comes to delete it: again,
# until it has come to the end of its list.
end_flows() {
  n=0
  while [ "$n" -lt 100 ]; do
    said=$(conntrack -D "$@" 2>&1 >/dev/null) || :
    case "$said" in *" flow entries have been deleted"*) return 0 ;; esac
    n=$((n + 1))
  done
  log "flows could not be ended: ${said##*: }"
  return 1
}

# flush ADDRESS: cut all flows from and to an algorithm.
flush() {
  end_flows -s "$1" &
  end_flows -r "$1" || { wait "$!"; return 1; }
  wait "$!"
}

# load_rules: the whole table anew, with the commands of nft on standard input, in one transaction: there is no moment without
# rules. Keeps their text, so that a change of it is noticed.
load_rules() {
  {
    echo 'include "/usr/local/lib/v6/client.nft"'
    [ -z "$V6_VPN_SUBNET" ] || echo "add element inet v6client vpn { $V6_VPN_SUBNET }"
    cat
  } | nft -D "ISO_NET=$V6_ISOLATED_RANGE" -f - || return 1
  nft -s list table inet v6client >"$V6_RUN/rules"
}

# vpn_routes [ADDRESS]: without tun0 the addresses of the VPN lead nowhere, never to the uplink. With the tunnel address, tun0
# has it.
vpn_routes() {
  [ -n "$V6_VPN_SUBNET" ] || return 0
  ip route replace blackhole "$V6_VPN_SUBNET" metric 4000
  [ -e /sys/class/net/tun0 ] || return 0
  [ -z "${1:-}" ] || ip addr replace "$1/32" dev tun0
  ip route replace "$V6_VPN_SUBNET" dev tun0 metric 100
}

# vpn_device: a device that outlives openvpn: its address and its route stay, so a restart of openvpn opens no other way.
vpn_device() {
  ip tuntap add dev tun0 mode tun
  ip link set dev tun0 up
  vpn_routes
}

# survey: rules, elements and routes as they are, for the node to compare.
survey() {
  echo "= loaded"
  cat "$V6_RUN/rules"
  echo "= table"
  nft -s list table inet v6client 2>/dev/null || :
  echo "= routes"
  ip -4 route show
  echo "= tunnel"
  ip -o -4 addr show dev tun0 2>/dev/null || echo "no device"
}

# forget ADDRESS: what was refused to an algorithm is no news of the next run at its address, and its ports are no longer there.
# In one transaction: an algorithm can fill the records, and a program for each element would take a minute.
forget() {
  n=0
  until commands=$(forgetting "$1") && { [ -z "$commands" ] || echo "$commands" | nft -f - 2>/dev/null; }; do
    # One of them has expired since.
    n=$((n + 1))
    [ "$n" -lt 20 ] || { log "the refusals of $1 are still recorded"; return 1; }
  done
}

# forgetting ADDRESS: the commands of nft for that, one for each set.
forgetting() {
  for set in refused_in refused_out; do
    nft list set inet v6client "$set" | tr ',={}' '\n\n\n\n' | awk -v address="$1" '
      $2 == "." && $4 == "." && $6 == "." && ($1 == address || $3 == address) { print $1 " . " $3 " . " $5 " . " $7 }' |
      deleting "$set"
  done
  nft list map inet v6client resumed | tr ',={}' '\n\n\n\n' | awk -v address="$1" '
    $1 == address && $2 == "." { print $1 " . " $3 }' | deleting resumed
}

# deleting SET: one command of nft for the keys on standard input.
deleting() {
  awk -v set="$1" '
    { printf "%s%s", NR == 1 ? "delete element inet v6client " set " { " : ", ", $0 }
    END { if (NR > 0) print " }" }'
}

# cut: end the flows that the lines on standard input name, SOURCE DESTINATION [PROTOCOL PORT]: who opened them, where they lead
# behind the map, and the port there.
cut() {
  flows=$(conntrack -L 2>/dev/null) || { log "the flows could not be listed"; return 1; }
  { cat; echo =; echo "$flows"; } | awk '
    $0 == "=" { isFlow = 1; next }
    !isFlow { wanted[$0] = 1; next }
    {
      sources = 0; ports = 0; isResumed = 0
      for (i = 1; i <= NF; i++) {
        if ($i ~ /^src=/ && ++sources <= 2) source[sources] = substr($i, 5)
        if ($i ~ /^sport=/ && ++ports <= 2) port[ports] = substr($i, 7)
        if ($i == "mark=1") isResumed = 1
      }
      pair = isResumed ? source[2] " " source[1] : source[1] " " source[2]
      target = pair " " $1 " " (isResumed ? port[1] : port[2])
      if (pair in wanted || target in wanted) print source[1] " " source[2] " " $1 " " port[2]
    }' | sort -u | while read -r source destination protocol port; do
    end_flows -s "$source" -r "$destination" -p "$protocol" --reply-port-src "$port" || return 1
  done
}
