import { V6Error } from '../../src/core/errors.ts';
import type { RunFiles, RunFolder, RunRecord } from '../../src/node/interfaces/run-files.ts';

/** Run folders in memory. */
export class FakeRunFiles implements RunFiles {
  readonly folders = new Map<
    number,
    { input: string; token: string; output: string | undefined }
  >();
  readonly records = new Map<number, RunRecord>();
  /** What every run was given, also after its end. */
  readonly inputs = new Map<number, string>();
  /** What an algorithm leaves; undefined: a file that cannot be read. */
  output: string | undefined = '"done"';

  async create(
    run: number,
    { input, token }: { input: Uint8Array; token: string },
  ): Promise<RunFolder> {
    const text = Buffer.from(input).toString();
    this.inputs.set(run, text);
    this.folders.set(run, { input: text, token, output: this.output });
    return { data: `/data/task-${run}`, name: `task-${run}`, temporary: `/data/tmp-${run}` };
  }

  async readOutput(run: number): Promise<Uint8Array> {
    const { output } = this.folders.get(run) ?? { output: this.output };
    if (output === undefined)
      throw new V6Error('V6_RUN_FAILED', 'The output file of the algorithm is a link');
    return Buffer.from(output);
  }

  async remove(run: number): Promise<void> {
    this.folders.delete(run);
    this.records.delete(run);
  }

  async saveRecord(record: RunRecord): Promise<void> {
    this.records.set(record.run, record);
  }

  async listRecords(): Promise<readonly RunRecord[]> {
    return [...this.records.values()];
  }

  async listRuns(): Promise<readonly number[]> {
    return [...new Set([...this.folders.keys(), ...this.records.keys()])];
  }
}
