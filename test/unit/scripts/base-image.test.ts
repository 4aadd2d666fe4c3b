import { describe, expect, it } from 'vitest';
import { chooseAptOptions, chooseSources } from '../../../scripts/base-image.mjs';

describe('the apt sources of the images', () => {
  it('are those of the host, mirrors included, without third parties and without media', () => {
    const text = [
      'http://mirror.example/debian/|bookworm|main|$(SIGNED_BY)',
      'http://mirror.example/debian/|bookworm|main|$(SIGNED_BY)',
      'http://mirror.example/debian/|bookworm|non-free|$(SIGNED_BY)',
      'http://mirror.example/debian/|bookworm-updates|main|/usr/share/keyrings/a.gpg',
      'http://mirror.example/security/|bookworm-security|main|$(SIGNED_BY)',
      'https://node.example/node_20.x/|nodistro|main|/usr/share/keyrings/node.gpg',
      'https://cloud.example/apt/|cloud-sdk-bookworm|main|$(SIGNED_BY)',
      'https://engine.example/linux/debian/|bookworm|stable|/etc/apt/keyrings/engine.asc',
      'cdrom:[Debian]/|bookworm|main|$(SIGNED_BY)',
      '',
    ].join('\n');
    expect(chooseSources(text, 'bookworm')).toEqual([
      'deb [signed-by=/usr/share/keyrings/a.gpg] http://mirror.example/debian/ bookworm-updates main',
      'deb http://mirror.example/debian/ bookworm main',
      'deb http://mirror.example/security/ bookworm-security main',
    ]);
  });

  it('are found where the sources name the release by its place, not its name', () => {
    expect(chooseSources('http://mirror.example/debian/|stable|main|', 'bookworm')).toHaveLength(1);
  });

  it('bring proxy and time-outs of the host along, and nothing else', () => {
    const dump = [
      'Acquire "";',
      'Acquire::cdrom::mount "/media/cdrom/";',
      'Acquire::http::Proxy "http://proxy.example:3128";',
      'Acquire::https "";',
      'Acquire::Retries "5";',
      'Acquire::AllowInsecureRepositories "0";',
    ].join('\n');
    expect(chooseAptOptions(dump)).toEqual([
      'Acquire::http::Proxy "http://proxy.example:3128";',
      'Acquire::Retries "5";',
    ]);
  });
});
