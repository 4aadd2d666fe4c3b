import type { ListedKey } from '../../core/crypto/judge-keys.ts';
import { renderTable } from './table.ts';

/** Trusted and refused keys, fingerprints whole: people compare them. */
export function renderKeys(keys: readonly ListedKey[]): string {
  if (keys.length === 0) return 'No key of another organization is trusted yet.';
  const table = renderTable(
    ['ORGANIZATION', 'NAME', 'TRUSTED', 'SINCE', 'FINGERPRINT (SHA-256)'],
    keys.map(({ organization, name, origin, since, fingerprint }) => [
      String(organization),
      name ?? '-',
      origin ?? 'no',
      since?.slice(0, 10) ?? '-',
      fingerprint ?? '-',
    ]),
  );
  const refused = keys.flatMap(({ organization, refused: key }) =>
    key === null
      ? []
      : [`Refused for organization ${organization} at ${key.at}: ${key.fingerprint}`],
  );
  return [table, ...refused].join('\n');
}
