import type { Clock } from '../core/clock.ts';
import type { Engine } from '../core/engine/engine.ts';
import type { PortalFiles } from './interfaces/files.ts';
import type { PortalHost } from './interfaces/host.ts';
import type { PortalAdmin } from './interfaces/portal-admin.ts';

/** What the use cases of the portal work with. */
export interface PortalDeps {
  readonly engine: Pick<Engine, 'containers' | 'networks' | 'images'>;
  readonly files: PortalFiles;
  readonly host: PortalHost;
  readonly admin: PortalAdmin;
  readonly clock: Clock;
  /** References of the two images; a getter may throw V6_IMAGE_NOT_FOUND. */
  readonly images: { readonly vpn: string; readonly runtime: string };
}
