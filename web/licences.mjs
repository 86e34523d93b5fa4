// Writes the licences of the libraries that the page is made of beside its built files: every package that is in the
// lock file and not for development only.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const lock = JSON.parse(readFileSync(`${here}package-lock.json`, 'utf8'))
const parts = []
for (const [path, entry] of Object.entries(lock.packages)) {
  if (!path || entry.dev || entry.devOptional || entry.optional) continue
  const directory = `${here}${path}`
  const name = path.replace(/^.*node_modules\//, '')
  const { license } = JSON.parse(readFileSync(`${directory}/package.json`, 'utf8'))
  const files = readdirSync(directory).filter((file) => /^(licen[cs]e|copying)(\.|-|$)/i.test(file)).sort()
  const texts = files.map((file) => readFileSync(`${directory}/${file}`, 'utf8').replace(/\r\n/g, '\n').trim())
  const kind = typeof license === 'string' ? license : (license?.type ?? 'see its text')
  parts.push(`${name} ${entry.version} (${kind})\n\n${texts.join('\n\n') || 'Its package has no file with the text.'}`)
}
parts.sort()
const line = `\n\n${'-'.repeat(78)}\n\n`
const head = 'The map page of geosam-edge is made of, among others, the following libraries.'
writeFileSync(`${here}../src/web/assets/licences.txt`, `${head}${line}${parts.join(line)}\n`)
