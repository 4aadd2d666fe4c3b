/** A titled piece of work; the handler shows its last line of progress. */
export interface Task {
  readonly title: string;
  readonly run: (onLine: (line: string) => void) => Promise<void>;
}

/**
 * Runs tasks one after the other and shows them on stderr with their times; stdout stays the result's.
 * The first failure ends the list and is thrown as it is. Loads listr2 only when there is something to do.
 */
export async function runTasks(
  tasks: readonly Task[],
  options: { readonly isSilent: boolean },
): Promise<void> {
  if (tasks.length === 0) return;
  const { Listr, ListrLogger, PRESET_TIMER, ProcessOutput } = await import('listr2');
  const list = tasks.map(({ title, run }) => ({
    title,
    task: (_: unknown, task: { output: string }) =>
      run((line) => {
        task.output = line;
      }),
  }));
  const logger = new ListrLogger({
    useIcons: true,
    processOutput: new ProcessOutput(process.stderr, process.stderr),
  });
  const common = { concurrent: false, exitOnError: true, registerSignalListeners: false } as const;
  if (options.isSilent) return runList(new Listr(list, { ...common, renderer: 'silent' }));
  if (process.stderr.isTTY)
    return runList(
      new Listr(list, {
        ...common,
        renderer: 'default',
        rendererOptions: { logger, timer: PRESET_TIMER },
      }),
    );
  // No terminal: one line per task, none per line of progress.
  const quiet = tasks.map(({ title, run }) => ({ title, task: () => run(() => {}) }));
  return runList(
    new Listr(quiet, {
      ...common,
      renderer: 'simple',
      rendererOptions: { logger, timer: PRESET_TIMER },
    }),
  );
}

async function runList(list: { run(): Promise<unknown> }): Promise<void> {
  await list.run();
}
