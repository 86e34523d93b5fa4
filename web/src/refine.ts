// Whether the next prompt corrects the mask that is shown.

import { message } from './panel'
import { say } from './texts'
import type { Answer, Folder } from './wire'

const CANNOT = 'MODEL_MISMATCH'

export class Refine {
  constructor(
    private readonly toggle: HTMLInputElement,
    private readonly folder: () => Folder | undefined,
  ) {}

  get wanted(): boolean {
    return this.toggle.checked
  }

  /** Grey where the folder's model cannot; in the language of the page. */
  show(): void {
    const cannot = this.folder()?.refine === false
    this.toggle.disabled = cannot
    if (cannot) this.toggle.checked = false
    const label = this.toggle.closest('label')
    if (label) label.title = cannot ? this.why() : say('refine_title')
  }

  /** The other way round, or why not. */
  turn(): void {
    if (this.toggle.disabled) this.explain()
    else this.toggle.click()
  }

  /** Whether an answer says that the model cannot: it was replaced meanwhile. Nothing is corrected from then on. */
  refused(answer: Answer): boolean {
    if (answer.error?.code !== CANNOT) return false
    this.toggle.checked = false
    this.explain()
    return true
  }

  /** Says why it is off. */
  explain(): void {
    message(this.why(), true)
  }

  private why(): string {
    return `${say('refine_cannot', { folder: this.folder()?.name ?? '' })} (${CANNOT})`
  }
}
