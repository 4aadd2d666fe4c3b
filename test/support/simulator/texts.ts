import { recorded } from '../portal-replay.ts';

/** Pages and files as a portal wrote them when it was recorded, with our values in the places of the recorded ones. */
export type Generation = 'v3' | 'v2';

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');

function bodyOf(file: string, index: number, generation: Generation): string {
  return recorded(file, index, generation).response.body;
}

/** The login form; `redirectTo` is what its hidden field holds, `refused` the user whose password was wrong. */
export function loginPage(
  generation: Generation,
  input: { readonly redirectTo: string; readonly refused: string | undefined },
): string {
  const { refused } = input;
  const body =
    refused === undefined
      ? bodyOf('02-login-authorize', 0, generation)
      : bodyOf('03-login-errors', 0, generation).replace(
          /value="nodes"/,
          () => `value="${escape(refused)}"`,
        );
  return body.replace(
    /(<input type="hidden" name="[^"]*" value=")[^"]*/,
    (_whole, before: string) => before + escape(input.redirectTo),
  );
}

export const approvalPage = (generation: Generation): string =>
  generation === 'v3'
    ? bodyOf('02-login-authorize', 9, generation)
    : bodyOf('04-authorize-errors', 5, generation);

export function errorPage(generation: Generation, status: number, reason: string): string {
  return bodyOf('04-authorize-errors', generation === 'v3' ? 0 : 1, generation)
    .replace(/<h2>\d+<\/h2>/, `<h2>${status}</h2>`)
    .replace(/<code>.*<\/code>/, `<code>${escape(reason)}</code>`);
}

/** The first page of a user who is logged in, shortened to its title: no client reads more of it. */
export const homePage = (): string =>
  '<!DOCTYPE html>\n<html><head><title>VPN Portal - Home</title></head><body><h1>Home</h1></body></html>\n';

export interface FileInput {
  readonly host: string;
  readonly portalUrl: string;
  readonly profile: { readonly id: string; readonly displayName: string };
  readonly expiresAt: Date;
  readonly authority: string;
  readonly certificate: string;
  readonly privateKey: string;
  readonly staticKey: string;
}

function block(text: string, name: string, content: string): string {
  return text.replace(
    new RegExp(`<${name}>\\r?\\n[\\s\\S]*?</${name}>`),
    () => `<${name}>\n${content.trim()}\n</${name}>`,
  );
}

/** The client file of API v3 of a 3.x portal. */
export function clientFileV3(input: FileInput, prefersTcp: boolean): string {
  const text = bodyOf('08-connect', prefersTcp ? 2 : 0, 'v3')
    .replace(/^# Portal: .*$/m, `# Portal: ${input.portalUrl}`)
    .replace(/^# Profile: .*$/m, `# Profile: ${input.profile.displayName} (${input.profile.id})`)
    .replace(/^# Expires: .*$/m, `# Expires: ${input.expiresAt.toISOString().slice(0, 19)}+00:00`)
    .replaceAll('vpn.example.test', input.host);
  return withKeys(text, input);
}

/** The client file of API v3 of a 2.4 portal. */
export function clientFileOf24(input: FileInput): string {
  const text = bodyOf('07-api-v3-on-2.4', 1, 'v2').replaceAll('legacy.example.test', input.host);
  return withKeys(text, input);
}

function withKeys(text: string, input: FileInput): string {
  let whole = block(text, 'ca', input.authority);
  whole = block(whole, 'cert', input.certificate);
  whole = block(whole, 'key', input.privateKey);
  return block(whole, 'tls-crypt', input.staticKey);
}

/** `profile_config` of API v2: CRLF line ends, no certificate of the client and no key. */
export function profileFileV2(
  input: Pick<FileInput, 'host' | 'authority' | 'staticKey'>,
  withAllPorts: boolean,
): string {
  const text = bodyOf('06-api-v2', withAllPorts ? 3 : 2, 'v2')
    .replaceAll('\r\n', '\n')
    .replaceAll('legacy.example.test', input.host);
  const whole = block(block(text, 'ca', input.authority), 'tls-crypt', input.staticKey);
  return whole.replaceAll('\n', '\r\n');
}

/** A WireGuard file of a 3.x portal. */
export function wireGuardFile(
  input: Pick<FileInput, 'host' | 'portalUrl' | 'profile' | 'expiresAt'>,
) {
  return bodyOf('14-several-profiles-wireguard', 2, 'v3')
    .replace(/^# Portal: .*$/m, `# Portal: ${input.portalUrl}`)
    .replace(/^# Profile: .*$/m, `# Profile: ${input.profile.displayName} (${input.profile.id})`)
    .replace(/^# Expires: .*$/m, `# Expires: ${input.expiresAt.toISOString().slice(0, 19)}+00:00`)
    .replaceAll('vpn.example.test', input.host);
}
