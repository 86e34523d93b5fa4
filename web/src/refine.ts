// Whether the next prompt corrects the mask that is shown. Nothing tells whether a folder's model can, so it is tried.

import type { Board } from './board'
import { message } from './panel'
import { say } from './texts'
import type { Answer, Folder, Position } from './wire'

const CANNOT = 'MODEL_MISMATCH'

export class Refine {
  constructor(
    private readonly board: Board,
    private readonly toggle: HTMLInputElement,
    private readonly folder: () => Folder | undefined,
    /** A position that one of the folder's chips covers. */
    private readonly somewhere: () => Position | undefined,
  ) {
    toggle.addEventListener('change', () => void this.check())
  }

  get wanted(): boolean {
    return this.toggle.checked
  }

  /** Asks a prompt to start from its own mask, and switches off where the model cannot. */
  async check(): Promise<void> {
    const [folder, at] = [this.folder(), this.somewhere()]
    if (!this.wanted || !folder?.ready || !at) return
    const answer = await this.board.ask('segment', { folder: folder.name, crs: 'source', points: [at], refine: true })
    if (this.wanted && this.folder()?.name === folder.name) this.refused(answer)
  }

  /** Whether an answer says that the model cannot; nothing is corrected from then on. */
  refused(answer: Answer): boolean {
    if (answer.error?.code !== CANNOT) return false
    this.toggle.checked = false
    this.explain()
    return true
  }

  /** Says why it is off. */
  explain(): void {
    message(`${say('refine_cannot', { folder: this.folder()?.name ?? '' })} (${CANNOT})`, true)
  }
}
