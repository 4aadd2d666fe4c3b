import { defineConfig } from 'vitest/config';

const minutes = (n: number): number => n * 60_000;

// Unit and CLI tests share one process; what changes the host runs one file after the other.
export default defineConfig({
  test: {
    disableConsoleIntercept: true,
    reporters: [
      './test/support/failures-reporter.ts',
      'default',
      './test/support/summary-reporter.ts',
    ],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          isolate: false,
          testTimeout: 15_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'cli',
          include: ['test/cli/**/*.test.ts'],
          testTimeout: 30_000,
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'contracts',
          include: [
            'test/contracts/**/*.test.ts',
            'test/security/**/*.test.ts',
            'test/weaknesses/**/*.test.ts',
          ],
          testTimeout: 60_000,
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: [
            'test/integration/**/*.test.ts',
            'test/drills/**/*.test.ts',
            'test/attacks/**/*.test.ts',
          ],
          testTimeout: minutes(3),
          hookTimeout: minutes(5),
          fileParallelism: false,
        },
      },
    ],
  },
});
