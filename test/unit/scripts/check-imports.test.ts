import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkImports, mayImport, readSources } from '../../../scripts/check-imports.mjs';

const root = path.join(import.meta.dirname, '../../..');

describe('import rules', () => {
  it('hold in the whole source tree', () => {
    expect(checkImports(readSources(root))).toEqual([]);
  });

  it.each([
    ['src/core/net/ipv4.ts', 'src/node/daemon.ts'],
    ['src/node/daemon.ts', 'src/server/app.ts'],
    ['src/node/daemon.ts', 'src/adapters/docker/engine.ts'],
    ['src/adapters/docker/engine.ts', 'src/adapters/http/request.ts'],
    ['src/adapters/docker/engine.ts', 'src/node/daemon.ts'],
    ['src/commands/node/start.ts', 'src/adapters/docker/engine.ts'],
    ['src/cli/context.ts', 'src/node/daemon.ts'],
    ['src/algorithm/echo/main.ts', 'src/core/net/ipv4.ts'],
  ])('refuse that %s imports %s', (from, to) => {
    expect(mayImport(from, to)).toBe(false);
  });

  it.each([
    ['src/node/compose.ts', 'src/adapters/docker/engine.ts'],
    ['src/adapters/http/node-coordinator.ts', 'src/node/interfaces/coordinator.ts'],
    ['src/commands/node/start.ts', 'src/node/compose.ts'],
    ['src/demo/up.ts', 'src/server/compose.ts'],
    ['src/algorithm/echo/main.ts', 'src/core/protocol/algorithm-env.ts'],
  ])('allow that %s imports %s', (from, to) => {
    expect(mayImport(from, to)).toBe(true);
  });

  it('name the file, the line and the target of a violation', () => {
    const text = "import { a } from '../core/a.ts';\nconst b = await import('../server/app.ts');\n";
    expect(checkImports([['src/node/daemon.ts', text]])).toEqual([
      'src/node/daemon.ts:2: may not import src/server/app.ts',
    ]);
  });

  it('refuse I/O in core', () => {
    expect(checkImports([['src/core/x.ts', "import fs from 'node:fs';\n"]])).toHaveLength(1);
  });
});
