import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** Of a failure's message, characters. */
const MESSAGE_LENGTH = 160;

/**
 * One line for each test that did not pass, before the long reports of them: where only a part of the output is kept, it still
 * says which they were.
 */
export default class FailuresReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const lines = modules.flatMap((module) => [
      ...module.errors().map(({ message }) => line('failed', module.relativeModuleId, message)),
      ...[...module.children.allTests()].flatMap(ofTest),
    ]);
    if (lines.length > 0) process.stdout.write(`\n${lines.join('\n')}\n`);
  }
}

function ofTest(test: TestCase): string[] {
  const { state, errors } = test.result();
  if (state === 'passed') return [];
  const name = `${test.module.relativeModuleId} > ${test.fullName}`;
  return [line(state, name, errors?.[0]?.message ?? '')];
}

function line(state: string, name: string, message: string): string {
  const [first = ''] = message.split('\n');
  return `${state}: ${name}: ${first.slice(0, MESSAGE_LENGTH)}`;
}
