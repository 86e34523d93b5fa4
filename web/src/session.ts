// The prompts of one object under construction, and the mask that the board makes of them.
//
// The page holds the prompts, the board's session the same ones: each step is a request of its own. After a reload both are
// compared, and the session is built anew where they differ.

import type { Board } from './board'
import { keep, kept } from './tab'
import type { Refine } from './refine'
import { type Answer, type DrawingOptions, type Position, type Prompt, batches, members } from './wire'

export class Session {
  prompts: Prompt[] = []
  answer: Answer | undefined
  /** Whether the answer is that of the prompts, and not of those before the last step. */
  settled = true
  private folder = ''
  private turn: Promise<unknown> = Promise.resolve()
  /** Counts steps, so that an answer that was overtaken is not shown. */
  private steps = 0

  constructor(
    private readonly board: Board,
    private readonly name: string,
    private readonly options: () => DrawingOptions,
    private readonly refine: Refine,
    /** Prompts or mask have changed. */
    private readonly changed: () => void,
    private readonly failed: (answer: Answer) => void,
  ) {}

  /** What is asked for, the same for steps and previews. */
  request(): object {
    return { folder: this.folder, crs: 'source', ...this.options() }
  }

  private body(): object {
    return { session: this.name, ...this.request() }
  }

  private remember(): void {
    keep({ folder: this.folder, prompts: this.prompts })
    this.changed()
  }

  /** Asks when what was asked before is answered: a busy board refuses one and may take the next, and their order counts. */
  private ask(verb: string, body: object): Promise<Answer> {
    const answer = this.turn.then(() => this.board.ask(verb, body))
    this.turn = answer
    return answer
  }

  /** Asks for a step, and shows its mask unless another step has come after it. */
  private async step(verb: string, body: object): Promise<Answer> {
    this.steps += 1
    const step = this.steps
    this.settled = false
    this.remember()
    const answer = await this.ask(verb, body)
    if (step === this.steps) {
      this.settled = true
      this.answer = answer.status === 'ok' && this.prompts.length ? answer : undefined
      if (answer.status === 'error') this.failed(answer)
      this.changed()
    } else if (answer.status === 'error') {
      this.failed(answer)
    }
    return answer
  }

  /** Begins in a folder, with what was there before a reload. */
  async open(folder: string): Promise<void> {
    const before = kept()
    this.folder = folder
    this.prompts = before?.folder === folder ? before.prompts : []
    this.answer = undefined
    await this.reconcile()
  }

  /** Makes the board's session what the page shows. */
  async reconcile(): Promise<void> {
    this.steps += 1
    const step = this.steps
    this.changed()
    const list = await this.ask('list', {})
    if (step !== this.steps) return
    const there = list.sessions?.find((s) => s.session === this.name)
    const has = { foreground: 0, background: 0, boxes: 0 }
    for (const prompt of this.prompts) {
      if ('box' in prompt) has.boxes = 1
      else if (prompt.foreground) has.foreground += 1
      else has.background += 1
    }
    const { foreground = 0, background = 0, boxes = 0 } = there?.prompts ?? {}
    const same = has.foreground === foreground && has.background === background && has.boxes === boxes
    if (same && (!this.prompts.length || there?.folder === this.folder)) {
      await this.again()
      return
    }
    await this.replay(foreground + background + boxes > 0)
  }

  private added(prompts: Prompt[]): object {
    return { ...this.body(), ...members(prompts), ...(prompts[0]?.refine ? { refine: true } : {}) }
  }

  /** Builds the board's session anew. */
  private async replay(clear: boolean): Promise<void> {
    if (clear) void this.ask('clear', { session: this.name })
    const all = batches(this.prompts)
    const last = all.pop()
    // What they show is shown by the last one.
    for (const batch of all) void this.ask('add', this.added(batch))
    if (last) await this.step('add', this.added(last))
  }

  async add(set: Prompt): Promise<void> {
    const prompt: Prompt = this.refine.wanted ? { ...set, refine: true } : set
    this.prompts = [...this.prompts, prompt]
    const answer = await this.step('add', this.added([prompt]))
    if (answer.status === 'ok') return
    // A step that cannot be decoded leaves the board's session as it was.
    this.prompts = this.prompts.filter((p) => p !== prompt)
    this.remember()
    // A click is not lost to a model that cannot refine.
    if (!prompt.refine || !this.refine.refused(answer)) return
    await this.add(set)
    this.refine.explain()
  }

  async undo(): Promise<void> {
    if (!this.prompts.length) return
    this.prompts = this.prompts.slice(0, -1)
    if (!this.prompts.length) this.answer = undefined
    await this.step('undo', { session: this.name, ...this.options() })
  }

  async clear(): Promise<void> {
    if (!this.prompts.length) return
    this.prompts = []
    this.answer = undefined
    await this.step('clear', { session: this.name })
  }

  /** Takes back one prompt in the middle. */
  async remove(prompt: Prompt): Promise<void> {
    if (prompt === this.prompts[this.prompts.length - 1]) return this.undo()
    this.prompts = this.prompts.filter((p) => p !== prompt)
    await this.replay(true)
  }

  /** The mask of the prompts asked for once more, for example with other options. */
  async again(): Promise<void> {
    // How they came to a mask is known to the session alone.
    if (this.prompts.some((prompt) => prompt.refine)) await this.replay(true)
    else if (this.prompts.length) await this.step('segment', { ...this.request(), ...members(this.prompts) })
  }

  async save(layer: string): Promise<Answer | undefined> {
    if (!this.prompts.length) return undefined
    const before = this.prompts
    this.prompts = []
    this.answer = undefined
    // Objects are saved in WGS84, whatever the map is in.
    const { output, ...rest } = this.options()
    const { crs: _, ...drawn } = output
    const answer = await this.step('save', { session: this.name, layer, output: drawn, ...rest })
    if (answer.status === 'error' && !this.prompts.length) {
      this.prompts = before
      this.remember()
      await this.again()
    }
    return answer
  }

  async unsave(layer: string): Promise<Answer> {
    return this.ask('unsave', { session: this.name, layer })
  }

  /** The mask that another point would make, if the board finds the time. */
  async glance(at: Position): Promise<Answer | undefined> {
    const body = { ...this.request(), ...members([...this.prompts, { at, foreground: true }]) }
    const from = this.refine.wanted && this.settled ? this.answer?.id : undefined
    if (from !== undefined) {
      const answer = await this.board.glance({ ...body, mask_of: from })
      // As a click there would be answered.
      if (!['UNKNOWN_MASK', 'MASK_MISMATCH'].includes(answer?.error?.code ?? '')) return answer
    }
    return this.board.glance(body)
  }
}
