import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyRequest,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Clock } from '../../core/clock.ts';
import type { TransportSettings } from '../../core/config/server-transport.ts';
import { V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Cidr } from '../../core/net/ipv4.ts';
import type { Identity } from '../auth/identity.ts';
import { requireKind } from '../auth/permissions.ts';
import type { TokenSession, Tokens } from '../auth/tokens.ts';
import type { Metrics } from '../interfaces/metrics.ts';
import type { Store } from '../interfaces/store.ts';
import type { Events } from '../services/events.ts';
import type { Login } from '../services/login.ts';
import type { Presence } from '../services/presence.ts';
import type { Recovery } from '../services/recovery.ts';
import type { Sessions } from '../services/sessions.ts';
import type { VpnService } from '../services/vpn.ts';
import type { Certificate } from './certificate.ts';
import type { Render } from './render.ts';

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** Everything that routes work with. */
export interface AppDeps {
  readonly store: Store;
  readonly tokens: Tokens;
  readonly login: Login;
  readonly events: Events;
  readonly presence: Pick<Presence, 'seen'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Undefined: the server has no portal. */
  readonly vpn: VpnService | undefined;
  readonly apiKeyDigestKey: Buffer;
  /** `/api` or empty. */
  readonly apiPath: string;
  readonly vpnTrustedNetworks: readonly Cidr[];
  readonly sessions: Sessions;
  readonly recovery: Recovery;
  readonly transport: TransportSettings;
  /** Undefined: nobody asks for figures. */
  readonly metrics?: Metrics | undefined;
  /** Undefined: plain http. */
  readonly certificate?: Certificate | undefined;
}

/** What a file of routes is handed. */
export interface Routes extends AppDeps {
  readonly app: App;
  readonly render: Render;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set for routes with `onRequest: authenticated`. */
    identity: Identity | undefined;
    /** The login that the token comes from; undefined for containers. */
    session: TokenSession | undefined;
  }
}

/** Who asks, narrowed to the kinds that the route is for. Throws V6_AUTH_REQUIRED, V6_AUTH_FORBIDDEN. */
export function callerOf<K extends Identity['kind']>(
  request: FastifyRequest,
  ...kinds: readonly K[]
): Extract<Identity, { kind: K }> {
  if (request.identity === undefined)
    throw new V6Error('V6_AUTH_REQUIRED', 'The request carries no bearer token');
  return requireKind(request.identity, ...kinds);
}
