import type { Reporter, TestModule } from 'vitest/node';

/** Prints `N passed, N failed` as the last line: what a machine reads from a test run. A skipped test counts as failed when CI is set. */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    let passed = 0;
    let failed = errors.length;
    let skipped = 0;
    for (const module of modules) {
      if (module.errors().length > 0) failed += 1;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') passed += 1;
        else if (state === 'skipped') skipped += 1;
        else failed += 1;
      }
    }
    if (process.env.CI) {
      failed += skipped;
      if (skipped > 0) process.exitCode = 1;
      process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
    } else {
      process.stdout.write(
        `\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`,
      );
    }
  }
}
