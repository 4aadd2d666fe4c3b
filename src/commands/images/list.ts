import { V6Command } from '../../cli/base-command.ts';
import { renderListedImages } from '../../cli/render/images.ts';
import type { ListedImage } from '../../images/list.ts';

export default class ImagesList extends V6Command<{ images: readonly ListedImage[] }> {
  static override summary = 'list the container images of v6 on this machine';
  static override description =
    'Shows images of every version; an asterisk marks those that this version uses.';
  static override examples = ['<%= config.bin %> images list'];

  async run(): Promise<{ images: readonly ListedImage[] }> {
    await this.parse(ImagesList);
    const { composeImages } = await import('../../images/compose.ts');
    const side = await composeImages(this.config.root);
    const images = await side.list();
    this.log(renderListedImages(images));
    return { images };
  }
}
