import type { ContainerCreateOptions, EndpointSettings, HostConfig } from 'dockerode';
import type { ContainerSpec } from '../../core/engine/engine.ts';
import type { Ipv4 } from '../../core/net/ipv4.ts';

/** Three files of 10 MB for each container (design section 3). */
const LOG_CONFIG = { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } } as const;

export function endpointConfig(address: Ipv4 | undefined): EndpointSettings {
  const config: Partial<EndpointSettings> =
    address === undefined ? {} : { IPAMConfig: { IPv4Address: address } };
  // The types ask for every field of an answer; a request needs only this one.
  return config;
}

function tmpfs(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const [target = '', options] = entry.split(':', 2);
      return [target, options ?? 'rw,nosuid,nodev,noexec,size=64m'];
    }),
  );
}

function portBindings(spec: ContainerSpec): HostConfig['PortBindings'] {
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const port of spec.publish ?? []) {
    const key = `${port.container}/${port.protocol}`;
    (bindings[key] ??= []).push({ HostIp: port.hostAddress, HostPort: String(port.host) });
  }
  return bindings;
}

/** The older form of a bind makes a missing source; the newer one refuses to start without it. */
function mounts(spec: ContainerSpec): Pick<HostConfig, 'Binds' | 'Mounts'> {
  const all = spec.mounts ?? [];
  const remade = all.filter((mount) => mount.isMadeWhenMissing === true);
  return {
    Binds: remade.map(
      ({ source, target, readOnly }) => `${source}:${target}${readOnly ? ':ro' : ''}`,
    ),
    Mounts: all
      .filter((mount) => !remade.includes(mount))
      .map((mount) => ({
        Type: 'bind',
        Source: mount.source,
        Target: mount.target,
        ReadOnly: mount.readOnly ?? false,
      })),
  };
}

function hostConfig(spec: ContainerSpec): HostConfig {
  return {
    NetworkMode: spec.networkMode ?? spec.networks?.[0]?.name ?? 'none',
    RestartPolicy: { Name: spec.restart ?? 'no' },
    CapDrop: ['ALL'],
    CapAdd: [...spec.capabilities],
    SecurityOpt: ['no-new-privileges'],
    LogConfig: LOG_CONFIG,
    ReadonlyRootfs: spec.readOnlyRoot ?? false,
    ...mounts(spec),
    Tmpfs: tmpfs(spec.tmpfs ?? []),
    Devices: (spec.devices ?? []).map((device) => ({
      PathOnHost: device,
      PathInContainer: device,
      CgroupPermissions: 'rwm',
    })),
    ...(spec.sysctls ? { Sysctls: { ...spec.sysctls } } : {}),
    ...(spec.hosts
      ? { ExtraHosts: Object.entries(spec.hosts).map(([name, address]) => `${name}:${address}`) }
      : {}),
    ...(spec.dns ? { Dns: [...spec.dns] } : {}),
    ...(spec.pidMode ? { PidMode: spec.pidMode } : {}),
    // The same limit for memory and swap together: no swap beside it.
    ...(spec.memoryBytes === undefined
      ? {}
      : { Memory: spec.memoryBytes, MemorySwap: spec.memoryBytes }),
    ...(spec.cpus === undefined ? {} : { NanoCpus: Math.round(spec.cpus * 1e9) }),
    ...(spec.oomScore === undefined ? {} : { OomScoreAdj: spec.oomScore }),
    // What lies in the memory of ours or of an algorithm is nothing for a file.
    Ulimits: [{ Name: 'core', Soft: 0, Hard: 0 }],
    ...(spec.pids === undefined ? {} : { PidsLimit: spec.pids }),
    PortBindings: portBindings(spec),
  };
}

/** The engine's form of a spec. Only its first network: older engines (before API 1.44) take one at creation. */
export function toCreateOptions(spec: ContainerSpec): ContainerCreateOptions {
  const [first] = spec.networks ?? [];
  return {
    name: spec.name,
    Image: spec.image,
    Labels: { ...spec.labels },
    ...(spec.entrypoint ? { Entrypoint: [...spec.entrypoint] } : {}),
    ...(spec.command ? { Cmd: [...spec.command] } : {}),
    Env: Object.entries(spec.env ?? {}).map(([name, value]) => `${name}=${value}`),
    ...(spec.user === undefined ? {} : { User: spec.user }),
    ...(spec.hostname === undefined ? {} : { Hostname: spec.hostname }),
    ...(spec.stopTimeoutSeconds === undefined ? {} : { StopTimeout: spec.stopTimeoutSeconds }),
    ExposedPorts: Object.fromEntries(
      (spec.publish ?? []).map((port) => [`${port.container}/${port.protocol}`, {}]),
    ),
    HostConfig: hostConfig(spec),
    ...(first && spec.networkMode === undefined
      ? { NetworkingConfig: { EndpointsConfig: { [first.name]: endpointConfig(first.address) } } }
      : {}),
  };
}
