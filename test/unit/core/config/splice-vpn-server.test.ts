import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PortalValues } from '../../../../src/core/config/portal-settings.ts';
import { parseServerConfig } from '../../../../src/core/config/server-config.ts';
import { spliceVpnServer } from '../../../../src/core/config/splice-vpn-server.ts';
import { mappingOf, parseYaml, parseYamlAsWritten } from '../../../../src/core/config/yaml.ts';
import { V6Error } from '../../../../src/core/errors.ts';

const VALUES: PortalValues = {
  url: 'https://vpn.example.org',
  redirect_url: 'http://localhost',
  client_id: 'v6-client',
  client_secret: 'a "secret"',
  portal_username: 'nodes',
  portal_userpass: '0123',
};
const KEYS = `  url: "https://vpn.example.org"
  redirect_url: "http://localhost"
  client_id: "v6-client"
  client_secret: "a \\"secret\\""
  portal_username: "nodes"
  portal_userpass: "0123"
`;
const BLOCK = `vpn_server:\n${KEYS}`;
const crlf = (text: string): string => text.replaceAll('\n', '\r\n');
const splice = (text: string, values = VALUES): string =>
  spliceVpnServer(text, values, 'server.yaml');

describe('spliceVpnServer, bytes', () => {
  it('adds the block at the end, behind an empty line', () => {
    expect(splice('uri: x # c\n')).toBe(`uri: x # c\n\n${BLOCK}`);
    expect(splice('uri: x\n\n')).toBe(`uri: x\n\n${BLOCK}`);
  });

  it('adds the block to a file without a final line end, and adds none', () => {
    expect(splice('uri: x')).toBe(`uri: x\n\n${BLOCK.trimEnd()}`);
  });

  it('uses the line ends of the file, and keeps its byte order mark', () => {
    expect(splice('\uFEFFuri: x\r\n# end\r\n')).toBe(`\uFEFFuri: x\r\n# end\r\n\r\n${crlf(BLOCK)}`);
    expect(splice(crlf(`vpn_server:\n  url: old\n# next\nuri: x\n`))).toBe(
      crlf(`${BLOCK}# next\nuri: x\n`),
    );
  });

  it('leaves an example in comments alone', () => {
    const text = '# vpn_server:\n#   url: https://example\nuri: x\n#vpn_server:\n#  url: y\n';
    expect(splice(text)).toBe(`${text}\n${BLOCK}`);
  });

  it('stays before the end marker of the document', () => {
    expect(splice('---\nuri: x\n...\n')).toBe(`---\nuri: x\n\n${BLOCK}...\n`);
  });

  it('follows the indentation of the file', () => {
    expect(splice('  uri: x\n  ip: y\n', { url: 'https://a' })).toBe(
      '  uri: x\n  ip: y\n\n  vpn_server:\n    url: "https://a"\n',
    );
  });

  it('does not add an empty line to a text that would keep it', () => {
    expect(splice('a: |+\n  x\n', { url: 'https://a' })).toBe(
      'a: |+\n  x\nvpn_server:\n  url: "https://a"\n',
    );
  });

  it('changes values in place: comments, order, quotes of equal values and unknown keys stay', () => {
    const text = `ip: 0.0.0.0   # spaces stay
vpn_server: # the portal
  # asked from the network team
  portal_userpass: 0123
  url:   'https://old.example.org'   # production
  portal_username: nodes
  later: { a: [1, 2] }
  redirect_url: http://localhost
  client_id: old
  client_secret:

  # last words
# about the port
port: 0755
`;
    expect(splice(text)).toBe(
      text
        .replace("'https://old.example.org'", '"https://vpn.example.org"')
        .replace('client_id: old', 'client_id: "v6-client"')
        .replace('client_secret:\n', 'client_secret: "a \\"secret\\""\n'),
    );
  });

  it('adds keys that are missing at the end of the block, takes out those without a value', () => {
    const text =
      'vpn_server:\n    url: https://vpn.example.org\n    profile: old\n    client_secret: x # y\nuri: x\n';
    const { client_secret: _none, ...values } = VALUES;
    expect(splice(text, values)).toBe(
      'vpn_server:\n    url: https://vpn.example.org\n    redirect_url: "http://localhost"\n    client_id: "v6-client"\n' +
        '    portal_username: "nodes"\n    portal_userpass: "0123"\nuri: x\n',
    );
  });

  it.each([
    ['vpn_server:\nuri: x\n', `${BLOCK}uri: x\n`],
    ['vpn_server: ~\nuri: x\n', `${BLOCK}uri: x\n`],
    ['uri: x\nvpn_server:', `uri: x\n${BLOCK.trimEnd()}`],
    ['vpn_server: {url: https://old, client_id: a}\nuri: x\n', `${BLOCK}uri: x\n`],
    ['vpn_server: {\n  url: https://old,\n  }\n\n# c\nuri: x\n', `${BLOCK}\n# c\nuri: x\n`],
    ['vpn_server: # why\n  # example\nuri: x\n', `vpn_server: # why\n  # example\n${KEYS}uri: x\n`],
    [
      'vpn_server:\n  url: [https://old]\n  # why\nuri: x\n',
      `vpn_server:\n  # why\n${KEYS}uri: x\n`,
    ],
    ['"vpn_server":\n  url: https://old\n', `"vpn_server":\n${KEYS}`],
  ])('replaces a block that is not lines of its own keys: %j', (text, expected) => {
    expect(splice(text)).toBe(expected);
  });

  it('puts one line in the place of a value of several', () => {
    const values = { url: 'https://new', portal_userpass: 'p' };
    const text =
      'vpn_server:\n  url: >-\n    https://\n    old\n\n  # why\n  portal_userpass: "a\n    b" # c\nuri: x\n';
    expect(splice(text, values)).toBe(
      'vpn_server:\n  url: "https://new"\n\n  # why\n  portal_userpass: "p" # c\nuri: x\n',
    );
  });

  it('follows anchors of others, and refuses to break them', () => {
    const merged = 'base: &b\n  client_id: shared\nvpn_server:\n  <<: *b\n  url: https://old\n';
    expect(mappingOf(mappingOf(parseYaml(splice(merged), 'x'))?.vpn_server)?.client_id).toBe(
      'v6-client',
    );
    const shared = 'vpn_server:\n  url: &u https://old\nserver_url: *u\n';
    expect(() => splice(shared)).toThrow(V6Error);
    expect(() => splice(shared)).toThrow(
      /server\.yaml cannot be edited in place: vpn_server, line 1/,
    );
  });

  it.each(['{uri: x}\n', 'vpn_server: {url: a, later: 1}\n'])(
    'refuses %j rather than lose something',
    (text) => {
      expect(() => splice(text)).toThrow(/cannot be edited in place/);
    },
  );

  it('gives a file that the parser reads', () => {
    const config = parseServerConfig(splice('uri: sqlite:///x.sqlite\n'), 'server.yaml');
    expect(config.vpn).toMatchObject({ password: '0123', clientSecret: 'a "secret"' });
  });
});

describe('spliceVpnServer, properties', () => {
  const scalar = fc.constantFrom(
    '1',
    "'it''s'",
    '"q: # \\" x"',
    '0755',
    'yes',
    '~',
    'https://a.b/c#d',
    '1e3',
    '.inf',
    'é ü',
  );
  const entry = fc.constantFrom('a', 'b', 'c', 'd').chain((name) =>
    fc.oneof(
      scalar.map((value) => `${name}N: ${value}\n`),
      scalar.map((value) => `${name}N:   ${value}   # vpn_server: no\n`),
      scalar.map((value) => `${name}N: &anchorN ${value}\n${name}aN: *anchorN\n`),
      scalar.map((value) => `${name}N: { url: ${value}, l: [1,  2 ] }\n`),
      scalar.map((value) => `${name}N:\n    x: ${value}\n    y:\n    - ${value}\n    # in\n`),
      fc
        .constantFrom('|', '|+', '|-', '>', '>+')
        .map((style) => `${name}N: ${style}\n  # text\n  vpn_server:\n\n`),
      fc.constantFrom('# c\n', '\n', '   \n', '#vpn_server:\n#  url: x\n', '  # deeper\n'),
    ),
  );
  const part = fc.array(entry, { maxLength: 5 });
  const value = fc.oneof(
    fc.string({ minLength: 1, unit: 'binary' }),
    fc.constantFrom(
      'no',
      '~',
      ' x ',
      '#',
      '"',
      '\\',
      "'",
      '0123',
      'a: b',
      '\u0085',
      '\u2028',
      '- x',
    ),
  );
  const portal = fc.record(
    {
      url: value,
      redirect_url: value,
      client_id: value,
      client_secret: value,
      portal_username: value,
      portal_userpass: value,
      profile: value,
    },
    { requiredKeys: ['url'] },
  ) as fc.Arbitrary<PortalValues>;
  const block = fc.constantFrom(
    '',
    'vpn_server:\n',
    'vpn_server: {}\n',
    "vpn_server:\n  url: https://old # c\n  # own\n  portal_userpass: 'x'\n",
    'vpn_server: {url: "a",\n  client_id: b}\n',
    'vpn_server:\n  client_secret: |\n    x\n  own: [1]\n',
    'vpn_server:\n    profile: old\n    own: 1\n',
  );
  // A comment that is indented deeper and follows the block at once would be the block's own.
  const afterBlock = (text: string) => (text === '' ? '' : `# end\n${text}`);
  const file = fc
    .record({ before: part, block, after: part, crlf: fc.boolean(), open: fc.boolean() })
    .map(({ before, block, after, crlf, open }) => {
      let n = 0;
      // Keys and anchors are made different from each other; there is always one key.
      const number = (text: string) => text.replaceAll('N', String((n += 1)));
      const parts = [
        `uri: x\n${before.map(number).join('')}`,
        block,
        afterBlock(after.map(number).join('')),
      ];
      const [head = '', middle = '', tail = ''] = parts.map((text) =>
        crlf ? text.replaceAll('\n', '\r\n') : text,
      );
      const isOpen = open && tail !== '';
      return { head, middle, tail: isOpen ? tail.replace(/\r?\n$/, '') : tail };
    });

  // Blocks that cannot be edited without a loss are refused; that is allowed, silence is not.
  const attempt = (text: string, values: PortalValues): string | undefined => {
    try {
      return splice(text, values);
    } catch (error) {
      if (error instanceof V6Error && error.message.includes('cannot be edited')) return undefined;
      throw error;
    }
  };

  it('changes nothing but the block, sets exactly what was asked for, and nothing the second time', () => {
    let refused = 0;
    fc.assert(
      fc.property(file, portal, ({ head, middle, tail }, values) => {
        const text = head + middle + tail;
        const out = attempt(text, values);
        if (out === undefined) {
          refused += 1;
          return;
        }
        if (middle === '') expect(out.startsWith(text)).toBe(true);
        else {
          expect(out.startsWith(head)).toBe(true);
          expect(out.endsWith(tail)).toBe(true);
        }
        const others = (from: string) => {
          const { vpn_server: _block, ...rest } = mappingOf(parseYaml(from, 'x')) ?? {};
          return rest;
        };
        expect(others(out)).toEqual(others(text));
        const { own: _own, ...block } =
          mappingOf(mappingOf(parseYamlAsWritten(out, 'x'))?.vpn_server) ?? {};
        expect(block).toEqual(values);
        expect(splice(out, values)).toBe(out);
      }),
      { numRuns: 1500 },
    );
    expect(refused).toBe(0);
  });
});
