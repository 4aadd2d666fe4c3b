import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { TransportSettings } from '../../core/config/server-transport.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';

/** A certificate with its chain, and its private key, both PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

type Files = NonNullable<TransportSettings['tls']>;

/** As much of `node:tls`'s server as a new certificate needs. */
export interface TlsServer {
  setSecureContext(certificate: Certificate): void;
}

/** A certificate whose files may change while the server runs. */
export interface WatchedCertificate {
  readonly current: Certificate;
  /** Told of each new pair. */
  follow(use: (changed: Certificate) => void): void;
  /** Reads the files again; bad ones are logged, and what is in use stays. */
  reload(): void;
  close(): void;
}

const LOOK_EVERY_MS = 30_000;
const DAY_MS = 24 * 3_600_000;

interface Follower {
  current: Certificate;
  stamp: string;
  use: (changed: Certificate) => void;
}

/** Reads the files, and looks every 30 s whether they are others. Throws V6_CONFIG_INVALID, naming the file at fault. */
export function watchCertificate(files: Files, logger: Logger): WatchedCertificate {
  const first = readCertificate(files);
  const state: Follower = { current: first, stamp: stampOf(files), use: () => undefined };
  warnOfEnd(first, files, logger);
  const reload = (): void => {
    state.stamp = stampOf(files);
    try {
      state.current = readCertificate(files);
      state.use(state.current);
      logger.info('The TLS certificate was read again', { file: files.certificate });
      warnOfEnd(state.current, files, logger);
    } catch (error) {
      if (!isV6Error(error)) throw error;
      const { code, message: reason } = error;
      logger.error('The new TLS certificate cannot be used, the old one stays', { code, reason });
    }
  };
  const timer = setInterval(() => {
    if (stampOf(files) !== state.stamp) reload();
  }, LOOK_EVERY_MS);
  timer.unref();
  return {
    get current() {
      return state.current;
    },
    follow: (use) => {
      state.use = use;
    },
    reload,
    close: () => clearInterval(timer),
  };
}

/** Changes with the files; a missing one has a stamp too. */
function stampOf({ certificate, key }: Files): string {
  return [certificate, key]
    .map((file) => {
      const found = statSync(file, { throwIfNoEntry: false });
      return found === undefined ? 'none' : `${found.ino} ${found.mtimeMs} ${found.size}`;
    })
    .join(' ');
}

function warnOfEnd({ cert }: Certificate, { certificate }: Files, logger: Logger): void {
  const { validTo } = new X509Certificate(cert);
  const leftMs = new Date(validTo).getTime() - Date.now();
  if (leftMs < 14 * DAY_MS)
    logger.warn('The TLS certificate ends soon', { file: certificate, validTo });
}

/** Certificate and key that belong together. Throws V6_CONFIG_INVALID, naming the file at fault. */
export function readCertificate(files: Files): Certificate {
  const cert = read(files.certificate, 'tls.certificate');
  const key = read(files.key, 'tls.key');
  const leaf = parsed(files.certificate, 'holds no certificate in PEM form', () => {
    return new X509Certificate(cert);
  });
  const secret = parsed(files.key, 'holds no private key in PEM form without a password', () => {
    return createPrivateKey(key);
  });
  if (!leaf.checkPrivateKey(secret))
    throw invalid(files.key, `does not belong to the certificate in ${files.certificate}`);
  return { cert, key };
}

function read(file: string, key: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw invalid(file, `cannot be read (${key})`, error);
  }
}

function parsed<T>(file: string, fault: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    // The cause could hold a part of the file.
    throw invalid(file, fault);
  }
}

function invalid(file: string, fault: string, cause?: unknown): V6Error {
  return new V6Error('V6_CONFIG_INVALID', `${file} ${fault}`, {
    hints: ['Check tls in the configuration of the server.'],
    details: { file },
    ...(cause === undefined ? {} : { cause }),
  });
}
