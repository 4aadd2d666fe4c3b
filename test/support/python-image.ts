import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { chooseAptOptions, chooseSources } from '../../scripts/base-image.mjs';
import type { Engine } from '../../src/core/engine/engine.ts';
import { PYTHON_SCRIPTS, pythonPeers } from './python-venv.ts';
import { inTempFolder } from './temp-folder.ts';

/** What an algorithm imports; all that it needs comes along. */
const TOOLS = 'vantage6-algorithm-tools';

/** Debian's Python, of the version that the environment of the peers has. */
const PACKAGES = 'python3-minimal,libpython3-stdlib,libstdc++6,tini';

const BASE_DOCKERFILE = `FROM scratch
ADD root.tar /
COPY passwd /etc/passwd
COPY lib /usr/lib/python3/dist-packages
ENV PATH=/usr/bin:/bin PYTHONPATH=/usr/lib/python3/dist-packages:/app PYTHONUNBUFFERED=1
`;

/** As upstream's own images: the package's name in PKG_NAME, and a command that calls the wrapper. */
const ALGORITHM_DOCKERFILE = (base: string) => `FROM ${base}
COPY v6_test_algorithm.py /app/
ENV PKG_NAME=v6_test_algorithm
EXPOSE 8888/tcp
LABEL p8888=com
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["python3", "-c", "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()"]
`;

/**
 * Builds the algorithm of test/python/algorithm under `tag`: Python 3.11 of Debian with the real algorithm tools. What it stands
 * on is named by its content and stays on the engine (about 250 MB, 25 s the first time); `tag` is the caller's to remove.
 */
export async function buildPythonAlgorithm(engine: Engine, tag: string): Promise<void> {
  const base = await ensureBase(engine);
  await inTempFolder(async (folder) => {
    const source = 'v6_test_algorithm.py';
    await copyFile(path.join(PYTHON_SCRIPTS, 'algorithm', source), path.join(folder, source));
    await writeFile(path.join(folder, 'Dockerfile'), ALGORITHM_DOCKERFILE(base));
    await engine.images.build({ folder, tags: [tag], labels: { 'v6.test': 'python' } });
  });
}

async function ensureBase(engine: Engine): Promise<string> {
  const requirements = await readFile(path.join(PYTHON_SCRIPTS, 'requirements.txt'));
  const recipe = `${PACKAGES} ${BASE_DOCKERFILE} ${TOOLS}`;
  const hash = createHash('sha256').update(recipe).update(requirements).digest('hex').slice(0, 12);
  const tag = `v6-test-python:${hash}`;
  if ((await engine.images.find(tag)) !== undefined) return tag;
  await inTempFolder(async (folder) => {
    await Promise.all([
      unpackDebian(path.join(folder, 'root.tar')),
      copyTools(path.join(folder, 'lib')),
    ]);
    await writeFile(path.join(folder, 'passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
    await writeFile(path.join(folder, 'Dockerfile'), BASE_DOCKERFILE);
    await engine.images.build({ folder, tags: [tag], labels: { 'v6.test': 'python' } });
  });
  return tag;
}

/** Debian packages with what they need, unpacked; no maintainer script runs. The host's own apt sources. */
async function unpackDebian(target: string): Promise<void> {
  const release = await readFile('/etc/os-release', 'utf8');
  const codename = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(release)?.[1] ?? 'stable';
  const format = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)';
  const targets = await execa('apt-get', ['indextargets', '--no-release-info', '--format', format]);
  const sources = chooseSources(targets.stdout, codename);
  const { stdout: settings } = await execa('apt-config', ['dump', 'Acquire']);
  const options = chooseAptOptions(settings).map((option: string) => `--aptopt=${option}`);
  const variant = [
    '--variant=extract',
    `--include=${PACKAGES}`,
    '--aptopt=APT::Install-Recommends "false"',
  ];
  await execa('mmdebstrap', [...variant, ...options, codename, target, '-'], {
    input: `${sources.join('\n')}\n`,
    timeout: 180_000,
  });
}

/** The algorithm tools out of the environment of the peers, compiled: importing pandas takes seconds otherwise. */
async function copyTools(target: string): Promise<void> {
  const python = await pythonPeers();
  const { stdout } = await execa(python, [path.join(PYTHON_SCRIPTS, 'closure.py'), TOOLS]);
  const made = new Set<string>();
  for (const file of stdout.split('\n')) {
    const to = path.join(target, file.replace(/^.*\/site-packages\//, ''));
    const folder = path.dirname(to);
    if (!made.has(folder)) await mkdir(folder, { recursive: true });
    made.add(folder);
    await copyFile(file, to);
  }
  const compile = ['-m', 'compileall', '-q', '-j', '2', '--invalidation-mode', 'unchecked-hash'];
  // Templates among the packages are no Python: they fail to compile, and nobody imports them.
  await execa(python, [...compile, target], { reject: false, timeout: 180_000 });
}
