// Who may import whom: the table of docs/architecture.md as a check. Run by `npm run lint`; exits 1 with one line per violation.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

const SIDES = ['node', 'server', 'portal', 'wizard', 'diagnose', 'images'];

/** Folder of a source file: `adapters/docker`, `node/interfaces`, `cli` … */
function placeOf(file) {
  const parts = file.split('/');
  if (parts[0] !== 'src') return { side: 'outside', file };
  return {
    side: parts.length > 2 ? parts[1] : 'root',
    sub: parts[2],
    isInterface: parts[2] === 'interfaces',
    isCompose: /^compose(-[a-z]+)?\.ts$/.test(parts.at(-1)),
    isProtocol: parts[1] === 'core' && parts[2] === 'protocol',
    file,
  };
}

/** True when a file at `from` may import a file of ours at `to`. */
export function mayImport(fromFile, toFile) {
  const from = placeOf(fromFile);
  const to = placeOf(toFile);
  if (to.side === 'core')
    return from.side === 'algorithm' ? to.isProtocol || /labels|errors/.test(to.file) : true;
  if (from.side === 'core') return false;
  if (from.side === 'adapters') {
    if (to.side === 'adapters') return from.sub === to.sub;
    return to.isInterface === true;
  }
  if (from.side === 'demo') {
    return to.side !== 'commands' && (from.isCompose || to.side !== 'adapters');
  }
  if (from.isCompose)
    return (
      to.side === from.side ||
      to.side === 'adapters' ||
      to.isCompose === true ||
      to.side === 'images'
    );
  if (SIDES.includes(from.side)) return to.side === from.side && !to.isCompose;
  if (from.side === 'algorithm') return to.side === 'algorithm';
  if (from.side === 'cli') return to.side === 'cli';
  if (from.side === 'commands')
    return to.side !== 'adapters' && to.side !== 'commands' && to.side !== 'algorithm';
  return false;
}

const IMPORT = /(?:\bfrom\s+|\bimport\s*\(\s*|^\s*import\s+)['"]([^'"]+)['"]/gm;

/** Violations in `sources`, a map of repository path → text. */
export function checkImports(sources) {
  const violations = [];
  for (const [file, text] of sources) {
    for (const match of text.matchAll(IMPORT)) {
      const specifier = match[1];
      const line = text.slice(0, match.index).split('\n').length;
      if (specifier.startsWith('.')) {
        const target = path.posix.normalize(path.posix.join(path.posix.dirname(file), specifier));
        if (!mayImport(file, target)) violations.push(`${file}:${line}: may not import ${target}`);
      } else if (
        file.startsWith('src/core/') &&
        /^(node:(fs|net|http|child_process|os|dgram)|dockerode|fastify|execa)/.test(specifier)
      ) {
        violations.push(`${file}:${line}: core does no I/O, so it may not import ${specifier}`);
      }
    }
  }
  return violations;
}

/** All TypeScript files below `folder`, as repository paths. */
export function readSources(root, folder = 'src') {
  return readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => path.posix.join(path.relative(root, entry.parentPath), entry.name))
    .map((file) => [file, readFileSync(path.join(root, file), 'utf8')]);
}

if (
  process.argv[1] &&
  import.meta.url === new URL(`file://${path.resolve(process.argv[1])}`).href
) {
  const violations = checkImports(readSources(process.cwd()));
  for (const violation of violations) console.error(violation);
  process.exitCode = violations.length > 0 ? 1 : 0;
}
