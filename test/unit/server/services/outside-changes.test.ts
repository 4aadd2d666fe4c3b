import { describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import {
  createOutsideWatch,
  markOutsideChange,
} from '../../../../src/server/services/outside-changes.ts';
import { recordingLogger } from '../../../support/server-app.ts';
import { until } from '../../../support/wait.ts';

/** A table `meta` in memory that can be away. */
function createMeta() {
  const values = new Map<string, string>();
  const meta = {
    isAway: false,
    find: async (key: string) => {
      if (meta.isAway) throw new V6Error('V6_DATABASE', 'away');
      return values.get(key);
    },
    set: async (key: string, value: string) => {
      values.set(key, value);
    },
  };
  return meta;
}

function watching(meta: ReturnType<typeof createMeta>) {
  const seen = { reads: 0 };
  const { logger, lines } = recordingLogger();
  const reread = (): void => {
    seen.reads += 1;
  };
  return {
    seen,
    lines,
    watch: createOutsideWatch({ meta, events: { reread }, logger, intervalMs: 5 }),
  };
}

describe('the watch for changes from outside', () => {
  it('has everybody read again once per change, and not for those before its start', async () => {
    const meta = createMeta();
    await markOutsideChange(meta);
    const { seen, watch } = watching(meta);
    await watch.start();
    await markOutsideChange(meta);
    await until('the first change', 5000, () => seen.reads === 1);
    await markOutsideChange(meta);
    await until('the second change', 5000, () => seen.reads === 2);
    await watch.close();
    await markOutsideChange(meta);
    expect(seen.reads).toBe(2);
  });

  it('tells once of a database that is away, and goes on when it is back', async () => {
    const meta = createMeta();
    const { seen, lines, watch } = watching(meta);
    await watch.start();
    meta.isAway = true;
    await until('the warning', 5000, () => lines.length > 0);
    await markOutsideChange(meta);
    meta.isAway = false;
    await until('the change', 5000, () => seen.reads === 1);
    expect(lines.filter((line) => line.includes('cannot be looked for'))).toHaveLength(1);
    await watch.close();
  });
});
