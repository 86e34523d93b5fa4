// Everything that the model finds in the visible part of a folder. It takes minutes, so it is the board's affair: it goes on
// without the page, and a page that comes back asks for the same under the same id.

import type { Board } from './board'
import { type Search, keepSearch, keptSearch } from './tab'
import type { Answer, Box, Progress } from './wire'

export class Searching {
  /** The search under way. */
  now: Search | undefined

  constructor(
    private readonly board: Board,
    /** Something is under way, has come further, or has ended. */
    private readonly changed: () => void,
    private readonly ended: (search: Search, answer: Answer) => void,
  ) {}

  /** Searches a box, in the folder's CRS, with so many points along a chip's side. */
  begin(folder: string, box: Box, layer: string, points: number): void {
    if (this.now) return
    const body = { folder, layer, crs: 'source', bbox: box, everything: { points_per_side: points } }
    void this.follow({ id: this.board.nextId(), client: this.board.clientName, body, done: 0, total: 0, objects: 0 })
  }

  /** Goes on with what was under way before a reload, once connected as the same client. */
  resume(): void {
    const search = keptSearch()
    if (search && !this.now && search.client === this.board.clientName) void this.follow(search)
  }

  private async follow(search: Search): Promise<void> {
    this.remember(search)
    const progress = ({ done, total, objects }: Progress) => this.remember({ ...search, done, total, objects })
    const answer = await this.board.ask('everything', search.body, search.id, progress)
    const { done, total, objects } = this.now ?? search
    this.now = undefined
    keepSearch(undefined)
    this.changed()
    this.ended({ ...search, done, total, objects }, answer)
  }

  private remember(search: Search): void {
    this.now = search
    keepSearch(search)
    this.changed()
  }

  /** Takes it back; what was found stays. */
  async cancel(): Promise<void> {
    if (this.now) await this.board.ask('cancel', { request_id: this.now.id })
  }
}
