import { decodeEntities } from './portal-answer.ts';

/** What a page of the portal asks for. */
export type PortalPage =
  | {
      readonly kind: 'login';
      /** `action` as written. */
      readonly action: string;
      /** Hidden inputs by name. */
      readonly hidden: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'approval' }
  | { readonly kind: 'other' };

/**
 * Recognises the portal's login form (fields `userName` and `userPass`) and its question whether the client is allowed (a
 * control named `approve`) by their fields, which are the same in portals 2.4 and 3.4; titles and texts are translated.
 */
export function readPortalPage(html: string): PortalPage {
  for (const [, attributes = '', body = ''] of html.matchAll(
    /<form\b([^>]*)>([\s\S]*?)<\/form>/gi,
  )) {
    const inputs = [...body.matchAll(/<(?:input|button)\b([^>]*)>/gi)].map(([, text = '']) =>
      readAttributes(text),
    );
    const names = inputs.map(({ name }) => name);
    if (names.includes('userName') && names.includes('userPass')) {
      const hidden = inputs.flatMap(({ type, name, value }) =>
        type?.toLowerCase() === 'hidden' && name !== undefined ? [[name, value ?? '']] : [],
      );
      return {
        kind: 'login',
        action: readAttributes(attributes).action ?? '',
        hidden: Object.fromEntries(hidden) as Record<string, string>,
      };
    }
    if (names.includes('approve')) return { kind: 'approval' };
  }
  return { kind: 'other' };
}

function readAttributes(text: string): Readonly<Record<string, string | undefined>> {
  const found = text.matchAll(/([^\s"'=<>/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+)))?/g);
  return Object.fromEntries(
    [...found].map(([, name = '', double, single, bare]) => [
      name.toLowerCase(),
      decodeEntities(double ?? single ?? bare ?? ''),
    ]),
  );
}
