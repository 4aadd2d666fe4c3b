// Makes dist/bundle: the whole command line in files that need no node_modules beside them, and the echo algorithm in one file.
// Run with the pinned Node: it loads the bundled commands once to write their manifest.
//
//   node scripts/bundle.mjs [--if-stale]
//
// The same sources give the same bytes: the tag of the runtime image is a hash of them.
import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { BUILD_INPUTS, hashInputs, isStampCurrent, writeStamp } from './inputs.mjs';
import { writeManifest } from './manifest.mjs';

/**
 * What dockerode and docker-modem load at start and we never use: ssh transport, and the two halves of BuildKit sessions.
 * They would be 0.8 MB, native code included, and most of the start-up time.
 */
const STUBBED = /^(ssh2|cpu-features|@grpc\/grpc-js|@grpc\/proto-loader|protobufjs)$/;

const STUB = `
const refuse = (what) => new Proxy(function () {}, {
  get: (_, key) => (typeof key === 'symbol' || key === 'prototype' || key === '__esModule' ? undefined : refuse(what + '.' + key)),
  apply: () => { throw new Error(what + ' is not part of this build of v6'); },
  construct: () => { throw new Error(what + ' is not part of this build of v6'); },
});
module.exports = refuse(NAME);
`;

const stubUnused = {
  name: 'stub-unused',
  setup(build) {
    build.onResolve({ filter: STUBBED }, ({ path: name }) => ({ path: name, namespace: 'stub' }));
    build.onLoad({ filter: /.*/, namespace: 'stub' }, ({ path: name }) => ({
      contents: STUB.replace('NAME', JSON.stringify(name)),
      loader: 'js',
    }));
  },
};

/**
 * `const { x } = await import('package')` of ours, where the package is CommonJS: Node finds the names, esbuild only `default`.
 * A facade with the names that Node finds makes both the same.
 */
const commonJsNames = {
  name: 'commonjs-names',
  setup(build) {
    build.onResolve(
      { filter: /^[^./]/ },
      async ({ path: name, kind, importer, resolveDir, pluginData }) => {
        const isOurs = !importer.includes('/node_modules/');
        if (kind !== 'dynamic-import' || !isOurs || pluginData?.isFacade || isBuiltin(name))
          return undefined;
        const found = await build.resolve(name, {
          kind,
          resolveDir,
          importer,
          pluginData: { isFacade: true },
        });
        if (found.errors.length > 0 || found.namespace !== 'file') return found;
        const namespace = await import(pathToFileURL(found.path).href);
        if (!('module.exports' in namespace)) return found;
        const names = Object.keys(namespace).filter(
          (key) => /^[A-Za-z_$][\w$]*$/.test(key) && !['default', '__esModule'].includes(key),
        );
        return {
          path: name,
          namespace: 'facade',
          pluginData: { names: names.toSorted(), file: found.path },
        };
      },
    );
    build.onLoad({ filter: /.*/, namespace: 'facade' }, ({ pluginData: { names, file } }) => ({
      contents: `const whole = require(${JSON.stringify(file)});\nexport default whole;\nexport const { ${names.join(', ')} } = whole;\n`,
      loader: 'js',
      resolveDir: path.dirname(file),
    }));
  },
};

/** CommonJS libraries call require for what Node has built in. */
const BANNER = {
  js: "import { createRequire as v6CreateRequire } from 'node:module'; const require = v6CreateRequire(import.meta.url);",
};

async function listCommands(root) {
  const folder = path.join(root, 'src/commands');
  const entries = await fs.readdir(folder, { recursive: true }).catch(() => []);
  return entries.filter((name) => name.endsWith('.ts')).toSorted();
}

async function bundleCli(esbuild, root, out) {
  const commands = await listCommands(root);
  const entryPoints = [
    { in: path.join(root, 'bin/run.js'), out: 'bin/run' },
    {
      in: path.join(root, 'node_modules/@oclif/plugin-help/lib/commands/help.js'),
      out: 'dist/commands/help',
    },
    ...commands.map((name) => ({
      in: path.join(root, 'src/commands', name),
      out: `dist/commands/${name.replace(/\.ts$/, '')}`,
    })),
  ];
  await esbuild.build({
    absWorkingDir: root,
    entryPoints,
    outdir: out,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    chunkNames: 'chunks/[name]-[hash]',
    banner: BANNER,
    external: ['*.node', 'bufferutil', 'utf-8-validate', 'pino-pretty'],
    plugins: [stubUnused, commonJsNames],
    keepNames: true,
    // Node keeps the text of what it runs in memory, comments included: 6 MB of a server. Lines stay short enough for a stack.
    minifyWhitespace: true,
    lineLimit: 200,
    legalComments: 'linked',
    logLevel: 'silent',
  });
}

async function bundleEcho(esbuild, root, out) {
  const source = path.join(root, 'src/algorithm/echo/main.ts');
  if (!existsSync(source)) return;
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: [source],
    outfile: path.join(out, 'echo/main.mjs'),
    bundle: true,
    format: 'esm',
    banner: BANNER,
    platform: 'node',
    target: 'node24',
    external: ['bufferutil', 'utf-8-validate'],
    legalComments: 'eof',
    logLevel: 'silent',
  });
}

/** package.json of the bundle: no dependency, no plugin, the commands where they are now. */
async function writePackage(root, out) {
  const { name, version, description, license, type, bin, engines, oclif } = JSON.parse(
    await fs.readFile(path.join(root, 'package.json'), 'utf8'),
  );
  const own = { ...oclif, plugins: [] };
  const text = {
    name,
    version,
    description,
    license,
    type,
    bin,
    engines,
    files: ['.'],
    oclif: own,
  };
  await fs.writeFile(path.join(out, 'package.json'), `${JSON.stringify(text, null, 2)}\n`);
}

/** Replaces dist/bundle; a failure leaves the old one. */
export async function bundle(root) {
  const esbuild = await import('esbuild');
  const target = path.join(root, 'dist/bundle');
  await fs.mkdir(path.dirname(target), { recursive: true });
  const work = await fs.mkdtemp(path.join(path.dirname(target), '.bundle-'));
  const old = `${work}.old`;
  try {
    await bundleCli(esbuild, root, work);
    await bundleEcho(esbuild, root, work);
    await writePackage(root, work);
    await writeManifest(work);
    await fs.chmod(work, 0o755);
    if (existsSync(target)) await fs.rename(target, old);
    await fs.rename(work, target);
  } finally {
    await fs.rm(work, { recursive: true, force: true });
    await fs.rm(old, { recursive: true, force: true });
  }
  return target;
}

async function main(argv) {
  const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
  const isCurrent =
    existsSync(path.join(root, 'dist/bundle')) && (await isStampCurrent(root, 'bundle'));
  if (isCurrent && argv.includes('--if-stale')) return;
  const hash = await hashInputs(root, BUILD_INPUTS);
  await bundle(root);
  await writeStamp(root, 'bundle', hash);
}

/** One line per mistake where esbuild found them, else the message. */
function renderFailure(error) {
  if (!Array.isArray(error.errors)) return error.message;
  return error.errors
    .map(({ location, text }) => `${location ? `${location.file}:${location.line}: ` : ''}${text}`)
    .join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2)).catch((error) => {
    process.stderr.write(`${renderFailure(error)}\n`);
    process.exitCode = 1;
  });
}
