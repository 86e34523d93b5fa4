// The connection to the board: MQTT through the page's own server, as any client of the contract.
//
// A request is kept until its answer comes, and sent again on each new connection: the board knows requests by their ids,
// and carries none out twice. Previews are not kept.

import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'

import { say } from './texts'
import type { Answer, Progress } from './wire'

export type BoardState = 'connecting' | 'online' | 'offline' | 'board_off' | 'busy' | 'refused'

/** How long a preview may take until the next is sent. */
const PREVIEW_MS = 2000
/** A reason of MQTT 5. */
const NOT_AUTHORIZED = 135
/** How long until a busy board is asked again. */
const AGAIN_MS = 1000

interface Pending {
  id: string
  verb: string
  payload: string
  resolve: (answer: Answer) => void
  progress: (progress: Progress) => void
}

/** Eight hexadecimal digits by chance; `randomUUID` is not there on plain HTTP. */
export function chance(): string {
  return [...crypto.getRandomValues(new Uint8Array(4))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

export class Board {
  private client: MqttClient | undefined
  private readonly base: string
  private readonly pending = new Map<string, Pending>()
  private readonly run = chance()
  private asked = 0
  private preview: { id: string; done: (answer: Answer | undefined) => void } | undefined
  private version: 4 | 5 = 5
  private connected = false
  private lost = false
  private alive = true
  private busy = 0
  private refused = false
  private user: { username: string; password: string } | undefined

  onState: (state: BoardState) => void = () => {}
  /** Connected anew: what is on the board may be another than before. */
  onConnected: () => void = () => {}
  /** A retained message of a folder has come, or a saved object. */
  onTold: (kind: 'folder' | 'saved', name: string, payload: string) => void = () => {}

  constructor(
    root: string,
    device: string,
    /** The client's name in topics, unless a user logs in. */
    private readonly name: string,
  ) {
    this.base = `${root}/${device}`
  }

  /** The client's level in topics: a broker's access list may bind it to the user. */
  get clientName(): string {
    return this.user?.username ?? this.name
  }

  get state(): BoardState {
    if (this.refused) return 'refused'
    if (!this.connected) return this.lost ? 'offline' : 'connecting'
    if (!this.alive) return 'board_off'
    return this.busy ? 'busy' : 'online'
  }

  connect(user?: { username: string; password: string }): void {
    this.client?.end(true)
    this.user = user
    this.refused = false
    const options: IClientOptions = {
      protocolVersion: this.version,
      // Each load of the page is a client of its own, so that no two tabs throw each other out; what was asked is
      // remembered here and not by the broker.
      clientId: `geosam-page-${this.run}`,
      clean: true,
      keepalive: 10,
      connectTimeout: 5000,
      reconnectPeriod: 500,
      // Previews from before a lost connection interest nobody.
      queueQoSZero: false,
      resubscribe: false,
      // Its other timers live in a worker that our policy refuses without a word; it would never ping.
      timerVariant: 'native',
      ...(user ?? {}),
    }
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws'
    const client = mqtt.connect(`${scheme}://${location.host}/mqtt`, options)
    this.client = client
    client.on('connect', () => void this.begin(client))
    client.on('message', (topic, payload) => this.hear(topic, payload))
    client.on('close', () => this.lose(client))
    client.on('error', (error) => this.fail(client, error))
    this.tell()
  }

  /** Gives the connection up for a new one, for example when the page comes back from sleep. */
  refresh(): void {
    if (this.client && !this.refused) this.client.reconnect()
  }

  private async begin(client: MqttClient): Promise<void> {
    const filters = ['state', 'folder/+', 'saved/+', `response/${this.clientName}/+`].map((f) => `${this.base}/${f}`)
    try {
      await client.subscribeAsync(filters, { qos: 1 })
    } catch {
      // It ended meanwhile; the next connection begins anew.
      return
    }
    if (client !== this.client || !client.connected) return
    this.connected = true
    this.lost = false
    for (const pending of this.pending.values()) this.send(pending)
    this.tell()
    this.onConnected()
  }

  private lose(client: MqttClient): void {
    if (client !== this.client) return
    this.connected = false
    this.lost = true
    // Its answer is lost with the connection.
    this.preview?.done(undefined)
    this.tell()
  }

  private fail(client: MqttClient, error: Error & { code?: number | string }): void {
    if (client !== this.client) return
    // Not authorized, bad user name or password; of MQTT 5 and of 3.1.1.
    if ([134, NOT_AUTHORIZED, 4, 5].includes(Number(error.code))) {
      this.refused = true
      client.end(true)
      this.tell()
    } else if (this.version === 5 && [132, 1].includes(Number(error.code))) {
      this.version = 4
      this.connect(this.user)
    }
  }

  private tell(): void {
    this.onState(this.state)
  }

  private hear(topic: string, payload: Uint8Array): void {
    const [kind, name] = topic.slice(this.base.length + 1).split('/')
    const text = new TextDecoder().decode(payload)
    if (kind === 'state') {
      this.alive = text === 'online'
      this.tell()
    } else if ((kind === 'folder' || kind === 'saved') && name !== undefined) {
      this.onTold(kind, name, text)
    } else if (kind === 'response') {
      this.answer(JSON.parse(text) as Answer | Progress)
    }
  }

  private answer(answer: Answer | Progress): void {
    const id = String(answer.id)
    if (this.preview?.id === id) {
      if (answer.status !== 'progress') this.preview.done(answer)
      return
    }
    const pending = this.pending.get(id)
    if (!pending) return
    if (answer.status === 'progress') {
      pending.progress(answer)
      return
    }
    if (answer.error?.code === 'BUSY') {
      this.busy += 1
      this.tell()
      setTimeout(() => {
        this.busy -= 1
        // The same request, by its id.
        if (this.pending.has(id) && this.connected) this.send(pending)
        this.tell()
      }, AGAIN_MS)
      return
    }
    this.pending.delete(id)
    pending.resolve(answer)
  }

  /** The topic is that of whoever is logged in now. */
  private send({ id, verb, payload }: Pending): void {
    this.client?.publish(this.topic(verb), payload, { qos: 1 }, (error) => {
      // A broker whose access list keeps it back says so, in MQTT 5; whatever else goes wrong is asked again.
      if (Number((error as { code?: number } | undefined)?.code) !== NOT_AUTHORIZED) return
      this.answer({ id, status: 'error', error: { code: 'NOT_AUTHORIZED', message: say('not_allowed', { verb }) } })
    })
  }

  private topic(verb: string): string {
    return `${this.base}/request/${this.clientName}/${verb}`
  }

  /** An id that no other request of this board has. */
  nextId(): string {
    this.asked += 1
    return `${this.run}-${this.asked}`
  }

  /** Asks, and waits however long it takes. Under an id that it was asked by before, the board answers the same and does
   * nothing twice. */
  ask(verb: string, body: object, id = this.nextId(), progress: (progress: Progress) => void = () => {}): Promise<Answer> {
    const payload = JSON.stringify({ id, ...body })
    return new Promise<Answer>((resolve) => {
      const pending = { id, verb, payload, resolve, progress }
      this.pending.set(id, pending)
      if (this.connected) this.send(pending)
      this.tell()
    })
  }

  /** Whether a preview is under way. */
  get previewing(): boolean {
    return this.preview !== undefined
  }

  /** Asks for a preview; nothing where it does not come. */
  glance(body: object): Promise<Answer | undefined> {
    if (!this.connected || this.preview) return Promise.resolve(undefined)
    const id = this.nextId()
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.preview?.done(undefined), PREVIEW_MS)
      const done = (answer: Answer | undefined) => {
        clearTimeout(timer)
        this.preview = undefined
        resolve(answer)
      }
      this.preview = { id, done }
      this.client?.publish(this.topic('segment'), JSON.stringify({ id, preview: true, ...body }), { qos: 0 })
    })
  }
}
