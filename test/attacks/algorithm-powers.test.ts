import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { can, refuses, shell } from '../support/attack.ts';
import { buildHostileImage, placeOf } from '../support/hostile.ts';
import { MeshLab, type MeshRun } from '../support/mesh-lab.ts';

/** Processes that one algorithm may have. */
const PIDS = 150;
/** A number that only this test has on a command line. */
const MARK = '86713';

let lab: MeshLab;
let hostile: string;
let attacker: string;
let victim: MeshRun;
/** A container with what an algorithm lacks: more capabilities, no filter of system calls, the engine's socket. */
let strong: string;
/** A container that sees the processes of the host. */
let watcher: string;
let gateway: string;
let token: string;
/** Of the node, at its server. */
let key: string;

const both = (what: string, line: () => string, more?: () => string) =>
  [what, () => can(attacker, line()), () => can(strong, (more ?? line)())] as const;
const search = (container: string, word: string): Promise<boolean> =>
  can(container, `[ -n "$(grep -rlsF '${word}' /mnt /tmp /run /var /etc /home /root /srv /opt)" ]`);

describe('an algorithm, with root in its container, at its own kernel', () => {
  beforeAll(async () => {
    const limits = [`algorithm_limits: {pids: ${PIDS}}`];
    lab = await MeshLab.up('atkp', { nodes: 1, config: () => limits });
    hostile = await buildHostileImage(lab);
    const nodes = [lab.node(1)];
    const [own, other] = await Promise.all([
      lab.startTask(nodes, { method: 'serve' }, hostile),
      lab.startTask(nodes),
    ]);
    const [first, second] = [own.runs[0], other.runs[0]];
    if (first === undefined || second === undefined) throw new Error('no runs');
    attacker = first.container;
    victim = second;
    ({ gateway } = await placeOf(lab, first));
    token = (await shell(victim.container, 'cat /mnt/data/task-*/token')).trim();
    const config = await readFile(lab.node(1).daemon.context.configFile, 'utf8');
    key = /^api_key: (\S+)/m.exec(config)?.[1] ?? '';
    const { id, labels, image } = lab.vpn.sandbox;
    const start = async (name: string, ...flags: readonly string[]): Promise<string> => {
      const marks = Object.entries(labels).flatMap(([key, value]) => [
        '--label',
        `${key}=${value}`,
      ]);
      const sleep = ['--entrypoint', '/bin/sleep', image, '900'];
      const container = `v6-test-${id}-${name}`;
      await execa('docker', ['run', '-d', '--name', container, ...marks, ...flags, ...sleep]);
      return container;
    };
    const unconfined = ['seccomp', 'apparmor'].flatMap((one) => [
      '--security-opt',
      `${one}=unconfined`,
    ]);
    const socket = ['-v', '/var/run/docker.sock:/var/run/docker.sock'];
    const rights = ['SYS_ADMIN', 'SYS_CHROOT', 'MKNOD', 'NET_ADMIN', 'NET_RAW'].flatMap((name) => [
      '--cap-add',
      name,
    ]);
    strong = await start('strong', ...rights, ...unconfined, ...socket);
    watcher = await start('watcher', '--pid', 'host');
  });
  afterAll(() => lab?.remove());

  it('keeps what images need: other users, owners, and low ports', async () => {
    const needs = [
      'busybox touch /tmp/f && busybox chown 33:33 /tmp/f && busybox chmod 4755 /tmp/f',
      "socat -u OPEN:/dev/null 'SYSTEM:true,su-d=daemon'",
      'socat -u TCP-LISTEN:80,accept-timeout=0.2 - ',
    ];
    for (const line of needs) expect(await can(attacker, `${line}; [ $? -le 1 ]`), line).toBe(true);
    const listening = 'socat TCP-LISTEN:81 - & sleep 0.3; busybox netstat -ltn | grep -q :81';
    expect(await can(attacker, listening)).toBe(true);
  });

  it('has the eight capabilities of the design and no way to more', async () => {
    const status = await shell(attacker, 'cat /proc/self/status');
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE: capabilities(7).
    for (const set of ['CapPrm', 'CapEff', 'CapBnd'])
      expect(status).toContain(`${set}:\t00000000000004fb`);
    expect(status).toContain('NoNewPrivs:\t1');
    expect(status).toContain('Seccomp:\t2');
  });

  it('sees of the host only its own two folders and the files of names', async () => {
    const mounts = (await shell(attacker, 'cat /proc/self/mountinfo')).split('\n');
    const device = (await readFile('/proc/self/mountinfo', 'utf8'))
      .split('\n')
      .map((line) => line.split(' '));
    const real = new Set(
      device.filter((words) => words.at(-2)?.startsWith('/dev/')).map((words) => words[2]),
    );
    const binds = mounts
      .map((line) => line.split(' '))
      .filter((words) => real.has(words[2]))
      .map((words) => words[4]);
    const run = /run-(\d+)$/.exec(attacker)?.[1] ?? '';
    const data = `/mnt/data/task-${run.padStart(9, '0')}`;
    expect(binds.toSorted()).toEqual(
      ['/etc/hostname', '/etc/hosts', '/etc/resolv.conf', data, '/mnt/tmp'].toSorted(),
    );
  });

  refuses([
    // The kernel.
    both('a mount', () => 'busybox mkdir -p /tmp/m && busybox mount -t tmpfs x /tmp/m'),
    both('a device', () => 'busybox mknod /tmp/null c 1 3'),
    both('a name space of users', () => 'busybox unshare -U true'),
    both('a name space of networks', () => 'busybox unshare -n true'),
    both('another name space', () => 'busybox nsenter -t 1 -n true'),
    both('another root', () => 'busybox chroot / true'),
    both('another host name', () => 'busybox hostname evil'),
    both(
      'a setting of the kernel',
      () => 'busybox mount -o remount,rw /proc/sys; echo 65 > /proc/sys/net/ipv4/ip_default_ttl',
    ),
    both(
      'a setting of a device',
      () => 'busybox mount -o remount,rw /sys; echo evil > /sys/class/net/eth0/ifalias',
    ),
    // The engine, the host's processes, other runs.
    both(
      'the socket of the engine',
      () =>
        "printf 'GET /_ping HTTP/1.0\\r\\n\\r\\n' | socat -t 1 - UNIX-CONNECT:/var/run/docker.sock | grep -q OK",
    ),
    [
      'processes of the host',
      () => can(attacker, 'busybox ps | grep -q "[o]penvpn"'),
      () => can(watcher, 'busybox ps | grep -q "[o]penvpn"'),
    ],
    [
      'processes of another run',
      async () => {
        void shell(victim.container, `sleep ${MARK}`).catch(() => undefined);
        return can(attacker, `sleep 1; busybox ps | grep -q "[s]leep ${MARK}"`);
      },
      () => can(victim.container, `(sleep ${MARK} &) ; busybox ps | grep -q "[s]leep ${MARK}"`),
    ],
    [
      'the token of another run in any file',
      () => search(attacker, token),
      async () => search(attacker, (await shell(attacker, 'cat /mnt/data/task-*/token')).trim()),
    ],
    [
      'the folder of another run',
      () => can(attacker, `ls /mnt/data/task-${String(victim.id).padStart(9, '0')}/`),
      () => can(attacker, 'ls /mnt/data/task-*/'),
    ],
    [
      'the key of the node in any file',
      () => search(attacker, key),
      () => can(strong, `printf '${key}' > /tmp/key; grep -rlsF '${key}' /tmp`),
    ],
    // What a raw or reconfigured interface would give.
    both('packets of its own making', () => `printf x | socat -u - IP4-SENDTO:${gateway}:253`),
    both(
      'frames of its own making',
      () => 'printf xxxxxxxxxxxxxxxxxxxxxxxx | socat -u - INTERFACE:eth0',
    ),
    both('another route', () => 'ip route add 192.0.2.77/32 dev eth0'),
    both('another address', () => 'ip addr add 192.0.2.78/32 dev eth0'),
    both(
      'another neighbour',
      () => 'ip neigh replace 192.0.2.79 lladdr 02:00:00:00:00:01 dev eth0',
    ),
    both('a link of its own', () => 'ip link add x0 type veth peer name x1'),
    both('rules of its own', () => 'nft add table inet mine'),
    both('the list of flows', () => 'conntrack -L'),
    both(
      'a mark on its packets',
      () => `printf x | socat -u - UDP:${gateway}:9,setsockopt-int=1:36:1`,
    ),
    [
      'a source that is not its own',
      () => can(attacker, `printf x | socat -u - UDP:${gateway}:9,ip-freebind=1,bind=192.0.2.80`),
      () => can(attacker, `printf x | socat -u - UDP:${gateway}:9,ip-freebind=1`),
    ],
    both(
      'an address of IPv6',
      () =>
        'busybox mount -o remount,rw /proc/sys; echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6 && ip -6 addr add fd00::7/64 dev eth0',
    ),
  ]);

  // The last: its program cannot go on without new processes.
  it('has no more processes than its limit', async () => {
    const most = PIDS + 20;
    // They live longer than it takes to start them all. Counted as processes: some are not yet called what they will be.
    const bomb = `i=0; while [ $i -lt ${most} ]; do sleep 60 & i=$((i+1)); done; ls -d /proc/[0-9]* | wc -l`;
    expect(Number(await shell(strong, bomb))).toBeGreaterThan(PIDS);
    const text = await shell(attacker, `${bomb} 2>&1`);
    expect(text).toMatch(/fork/);
  });
});
