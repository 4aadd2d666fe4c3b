import type { Cidr } from '../../core/net/ipv4.ts';

/** What the portal must know of the machine that it starts on. */
export interface PortalHost {
  /** Can containers have a tun device? */
  hasTunDevice(): Promise<boolean>;
  /** Networks that the host has routes to, the default route left out. Throws V6_FIREWALL_READ when they cannot be read. */
  routes(): Promise<readonly { readonly destination: Cidr; readonly device: string }[]>;
  isPortFree(port: {
    /** Address of this machine. */
    readonly address: string;
    readonly port: number;
    readonly protocol: 'tcp' | 'udp';
  }): Promise<boolean>;
  /** Of whoever runs the command: the containers write files under the same id. */
  readonly uid: number;
  readonly gid: number;
}
