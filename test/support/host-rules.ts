import { execa } from 'execa';
import { createHostRulesRecords } from '../../src/adapters/host/host-rules-records.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { Context } from '../../src/core/context.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import { HostContainer } from '../../src/node/host-rules/host-container.ts';
import { createHostFirewall } from '../../src/node/host-rules/host-firewall.ts';

/**
 * Takes the rules of a node off this machine when its daemon could not: one that is killed leaves them, and the tests that come
 * after would find them. Its containers are gone by then. One question to nft where there is nothing to do.
 */
export async function forgetHostRules(
  engine: Engine,
  image: string,
  { scope, name, dataDir }: Pick<Context, 'scope' | 'name' | 'dataDir'>,
): Promise<void> {
  const owner = `${scope}/${name}`;
  const guard = ['list', 'table', 'inet', 'v6guard'];
  const { stdout } = await execa('nft', guard, { reject: false, timeout: 20_000 });
  if (!stdout.includes(`"v6 ${owner}"`)) return;
  const firewall = createHostFirewall({
    engine,
    container: new HostContainer({ engine, image, scope, worksFor: name }),
    records: createHostRulesRecords(dataDir),
    clock: systemClock,
  });
  try {
    await firewall.undo(owner);
  } finally {
    await firewall.close();
  }
}
