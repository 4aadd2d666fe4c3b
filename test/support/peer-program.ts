/**
 * The algorithm of the mesh lab, a shell program: it listens until the test makes the file /mnt/tmp/go, then leaves a result.
 * What a test wants it to do besides, the test does with programs that it runs beside it (`MeshLab.shell`).
 *   8888/tcp echo, 8888/udp echo: answer what they are told
 *   8889/tcp feed: a line every 100 ms, and hears nothing
 *   7777/tcp, 7777/udp: listen, and are not declared
 */
export const PEER_PROGRAM = String.raw`
d=$(echo /mnt/data/task-*)
case "$(cat $d/input)" in
  *'"quick"'*) printf '"quick"' > $d/output; exit 0;;
  *'"fail"'*) echo broken; exit 3;;
  *'"hog"'*) exec tail /dev/zero;;
esac
socat TCP-LISTEN:8888,fork,reuseaddr EXEC:cat &
socat UDP-RECVFROM:8888,fork EXEC:cat &
socat TCP-LISTEN:8889,fork,reuseaddr SYSTEM:'while sleep 0.1; do echo tick; done' &
socat TCP-LISTEN:7777,fork,reuseaddr EXEC:cat &
socat UDP-RECVFROM:7777,fork EXEC:cat &
echo serving
while [ ! -e /mnt/tmp/go ]; do sleep 0.2; done
printf '"done"' > $d/output
`;

/** What its image declares. */
export const PEER_PORTS: readonly string[] = [
  'EXPOSE 8888/tcp 8888/udp 8889/tcp',
  'LABEL p8888=echo p8889=feed',
];

/** A shell function: asks the proxy as the algorithm would, with its own token or another one. */
export const ASK_PROXY = String.raw`
ask() { printf 'GET %s HTTP/1.0\r\nHost: proxyserver\r\nAuthorization: Bearer %s\r\n\r\n' "$1" "$2" | socat -t 5 -T 10 - TCP:proxyserver:8080,shut-none | tail -n 1; }
token=$(cat /mnt/data/task-*/token)
`;
