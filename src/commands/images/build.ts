import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { withInterrupt } from '../../cli/interrupt.ts';
import { renderBuiltImages } from '../../cli/render/images.ts';
import { runTasks } from '../../cli/tasks.ts';
import type { BuiltImage } from '../../images/build.ts';
import { IMAGE_KINDS } from '../../images/kinds.ts';

export default class ImagesBuild extends V6Command<{ images: readonly BuiltImage[] }> {
  static override summary = 'build the container images that this machine lacks';
  static override description =
    'Makes v6-vpn, v6-runtime and v6-echo from Debian packages and from this package; no container registry is asked. Images are named by their content: a second build does nothing.';
  static override examples = [
    '<%= config.bin %> images build',
    '<%= config.bin %> images build --only vpn --force',
  ];
  static override flags = {
    only: Flags.option({
      description: 'build only this image (may be given several times)',
      options: IMAGE_KINDS,
      multiple: true,
      multipleNonGreedy: true,
    })(),
    force: Flags.boolean({
      description: 'build again what is there, from packages fetched anew',
      default: false,
    }),
  };

  async run(): Promise<{ images: readonly BuiltImage[] }> {
    const { flags } = await this.parse(ImagesBuild);
    const { composeImages } = await import('../../images/compose.ts');
    const side = await composeImages(this.config.root);
    const images = await withInterrupt(async (signal) => {
      const work = await side.prepare({ only: flags.only, isForced: flags.force, signal });
      await runTasks(work.steps, { isSilent: this.jsonEnabled() });
      return work.finish();
    });
    this.log(renderBuiltImages(images));
    return { images };
  }
}
